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
	if err := s.db.Write(ctx, func(tx *store.Tx) error { return saveWorker(tx, thumbprint, subscription) }); err != nil {
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

// work runs the agent's process once, to its end.
func (s *Server) work(ctx context.Context, home string) {
	if err := s.cfg.Worker.Command(ctx, home).Run(); ctx.Err() == nil {
		s.cfg.Logger.WarnContext(ctx, "the built-in worker ended", "error", err)
	}
}

// saveWorker stores the built-in worker as a document, or its new identity.
func saveWorker(tx *store.Tx, thumbprint, subscription string) error {
	worker, err := store.First[resource.Worker](tx, store.Query{AllSpaces: true, Order: []string{"ord"}})
	if resource.CodeOf(err) == resource.NotFound {
		worker = &resource.Worker{}
		worker.SpaceID, worker.Name = resource.DefaultSpace, "Built-in worker"
		pool, poolErr := store.First[resource.WorkerPool](tx, store.Query{Space: resource.DefaultSpace})
		policy, policyErr := store.First[resource.MachinePolicy](tx, store.Query{Space: resource.DefaultSpace, Order: []string{"ord"}})
		if err := errors.Join(poolErr, policyErr); err != nil {
			return err
		}
		worker.WorkerPoolIDs, worker.MachinePolicyID = []string{pool.ID}, policy.ID
		worker.Endpoint = resource.PollingEndpoint(subscription, thumbprint)
		return store.Insert(tx, worker)
	}
	if err != nil || worker.Endpoint.Thumbprint == thumbprint {
		return err
	}
	worker.Endpoint = resource.PollingEndpoint(subscription, thumbprint)
	return store.Update(tx, worker)
}
