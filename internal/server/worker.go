package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// runWorker keeps the built-in worker's agent process running. The process
// outlives a killed server and connects again by itself; a second one finds
// the home in use and ends, which is why this waits and tries again.
func (s *Server) runWorker(ctx context.Context) error {
	home := filepath.Join(s.cfg.Data, workerFolder)
	_, port, err := net.SplitHostPort(s.gateway.Addr().String())
	if err != nil {
		return fmt.Errorf("prepare the worker: %w", err)
	}
	thumbprint, subscription, err := s.cfg.Worker.Prepare(home, net.JoinHostPort("127.0.0.1", port), s.Thumbprint())
	if err != nil {
		return fmt.Errorf("prepare the worker: %w", err)
	}
	name := builtInWorker
	if s.shared() {
		name += " of " + s.cfg.Node
	}
	if err := s.db.Write(ctx, func(tx *store.Tx) error { return saveWorker(tx, name, thumbprint, subscription) }); err != nil {
		return fmt.Errorf("register the worker: %w", err)
	}
	pause := time.Second
	for ctx.Err() == nil {
		began := s.cfg.Now()
		s.work(ctx, home)
		if s.cfg.Now().Sub(began) > time.Minute {
			pause = time.Second
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Minute)
	}
	return nil
}

// work runs the agent's process once, to its end. Processes that it leaves
// behind may hold its output open: they do not hold up the server's stop.
func (s *Server) work(ctx context.Context, home string) {
	cmd := s.cfg.Worker.Command(ctx, home)
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = s.cfg.Grace
	}
	if err := cmd.Run(); ctx.Err() == nil {
		s.cfg.Logger.WarnContext(ctx, "the built-in worker ended", "error", err)
	}
}

// builtInWorker is the name of the built-in worker's document at first; where
// several nodes have one each, " of " and the node's name follow.
const builtInWorker = "Built-in worker"

// saveWorker stores the built-in worker as a document, or its new identity.
// Other people's workers are left alone.
func saveWorker(tx *store.Tx, name, thumbprint, subscription string) error {
	worker, err := findWorker(tx, name, thumbprint, subscription)
	if resource.CodeOf(err) == resource.NotFound {
		return addWorker(tx, name, thumbprint, subscription)
	}
	if err != nil || worker.Endpoint.Thumbprint == thumbprint && worker.Endpoint.URI == subscription {
		return err
	}
	worker.Endpoint, worker.KeySha256 = resource.PollingEndpoint(subscription, thumbprint), ""
	return store.Update(tx, worker)
}

// findWorker looks for the agent's key and its subscription, under whatever
// name people gave it, and then for a worker that had both lost.
func findWorker(tx *store.Tx, name, thumbprint, subscription string) (worker *resource.Worker, err error) {
	for _, query := range []store.Query{
		{AllSpaces: true, Where: map[string][]string{"Thumbprint": {thumbprint}}},
		{AllSpaces: true, Where: map[string][]string{"Uri": {subscription}}},
		{Space: resource.DefaultSpace, Name: name},
	} {
		if worker, err = store.First[resource.Worker](tx, query); resource.CodeOf(err) != resource.NotFound {
			break
		}
	}
	return worker, err
}

func addWorker(tx *store.Tx, name, thumbprint, subscription string) error {
	byDefault := store.Query{Space: resource.DefaultSpace, Where: map[string][]string{"IsDefault": {"true"}}}
	pool, poolErr := store.First[resource.WorkerPool](tx, byDefault)
	policy, policyErr := store.First[resource.MachinePolicy](tx, byDefault)
	if err := errors.Join(poolErr, policyErr); err != nil {
		return err
	}
	worker := &resource.Worker{WorkerPoolIDs: []string{pool.ID}}
	worker.SpaceID, worker.Name, worker.MachinePolicyID = resource.DefaultSpace, name, policy.ID
	worker.Endpoint = resource.PollingEndpoint(subscription, thumbprint)
	return store.Insert(tx, worker)
}
