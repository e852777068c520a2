package server_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"log/slog"
	random "math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/server"
	"github.com/slipwayhq/slipway/internal/store"
)

// idle is an agent that has nothing to do: the real link, its key and its
// back-off, and no more.
type idle struct {
	agentrpc.UnimplementedAgentHandler

	id           *agentrpc.Identity
	subscription string
}

func (a *idle) Describe(context.Context, *connect.Request[agentrpc.DescribeRequest]) (*connect.Response[agentrpc.DescribeResponse], error) {
	speaks := agentrpc.Ours()
	return connect.NewResponse(&agentrpc.DescribeResponse{
		SubscriptionId: a.subscription, Incarnation: 1, Hostname: a.subscription, Os: "linux", Arch: "amd64", Version: "1", Shell: "Bash",
		BootId: a.subscription, NowMs: time.Now().UnixMilli(), Protocol: speaks.Newest, OldestProtocol: speaks.Oldest,
	}), nil
}

// idleFleet makes n agents and their machines in a data folder.
func idleFleet(t *testing.T, cfg server.Config, n int) []*idle {
	t.Helper()
	keys, err := secret.Load(cfg.Data)
	check(t, err)
	db, err := store.Open(t.Context(), store.Config{Path: cfg.Data, Keys: keys, Now: time.Now})
	check(t, err)
	agents := make([]*idle, n)
	folder := t.TempDir()
	for i := range agents {
		id, err := agentrpc.CreateIdentity(fmt.Sprintf("%s/%d", folder, i), "agent", time.Now(), rand.Reader)
		check(t, err)
		agents[i] = &idle{id: id, subscription: fmt.Sprint("sub-", i)}
	}
	check(t, db.Write(t.Context(), func(tx *store.Tx) error {
		env := &resource.Environment{Document: resource.Document{SpaceID: resource.DefaultSpace}, Name: "Everywhere"}
		if err := store.Insert(tx, env); err != nil {
			return err
		}
		for i, a := range agents {
			m := &resource.Machine{Roles: []string{"web"}, EnvironmentIDs: []string{env.ID}}
			m.SpaceID, m.Name, m.MachinePolicyID = resource.DefaultSpace, fmt.Sprint("web-", i), "MachinePolicies-1"
			m.Endpoint = resource.Endpoint{CommunicationStyle: resource.StyleActive, URI: "poll://" + a.subscription + "/", Thumbprint: a.id.Thumbprint()}
			if err := store.Insert(tx, m); err != nil {
				return err
			}
		}
		return nil
	}))
	check(t, db.Close())
	return agents
}

// poll keeps the agents linked, as often as it takes, until the test ends.
func poll(t *testing.T, agents []*idle, cfg server.Config) {
	t.Helper()
	identity, err := server.Identity(cfg.Data, time.Now())
	check(t, err)
	ctx, end := context.WithCancelCause(context.WithoutCancel(t.Context()))
	var group sync.WaitGroup
	for _, a := range agents {
		poller := &agentrpc.Poller{
			Addresses: []string{cfg.Agents}, TLS: agentrpc.ClientTLS(a.id, agentrpc.Pinned(identity.Thumbprint())),
			Handler: agentrpc.NewHandler(a), Random: random.Float64, Log: slog.New(slog.DiscardHandler),
		}
		group.Go(func() { _ = poller.Run(ctx) })
	}
	t.Cleanup(func() { end(nil); group.Wait() })
}

// asked is how the API answered while agents came back.
type asked struct {
	took   []time.Duration
	failed []string
}

// askMeanwhile asks the API again and again until the returned function is called.
func (r *running) askMeanwhile() (stop func() asked) {
	done := make(chan struct{})
	var a asked
	var group sync.WaitGroup
	group.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			path := []string{"/api/Spaces-1/tasks?take=10", "/api/Spaces-1/machines?take=10", "/api"}[i%3]
			began := time.Now()
			req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url(path), nil)
			if err != nil {
				a.failed = append(a.failed, err.Error())
				return
			}
			req.Header.Set("X-Octopus-Apikey", r.key)
			res, err := r.http.Do(req)
			if err != nil {
				a.failed = append(a.failed, err.Error())
				continue
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				a.failed = append(a.failed, path+" "+res.Status)
			}
			a.took = append(a.took, time.Since(began))
		}
	})
	return func() asked {
		close(done)
		group.Wait()
		slices.Sort(a.took)
		return a
	}
}

// Agents whose server restarts come back by themselves, all of them, each over
// its own TLS link, and people's requests are answered meanwhile (abuse 15).
// `make bench-restart` does it with 5,000, and says how long it took.
func TestAgentsComeBackAtOnce(t *testing.T) {
	n := 200
	if text := os.Getenv("SLIPWAY_AGENTS"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		check(t, err)
	}
	cfg := later(t)
	cfg.Now, cfg.Listen, cfg.Agents, cfg.Metrics = time.Now, freeAddress(t), freeAddress(t), ""
	agents := idleFleet(t, cfg, n)
	db := database(t, cfg.Data)
	r := run(t, cfg)
	poll(t, agents, cfg)
	all := func(what string, since time.Time) {
		t.Helper()
		deadline, tick := time.After(5*time.Minute), time.NewTicker(50*time.Millisecond)
		defer tick.Stop()
		for count := 0; count != n; {
			select {
			case <-deadline:
				t.Fatalf("%s: %d of %d", what, count, n)
			case <-tick.C:
				count = linked(t, db, since)
			}
		}
	}
	all("linked at first", time.Time{})
	r.stop()
	began := time.Now()
	again := run(t, cfg)
	stop := again.askMeanwhile()
	all("back after the restart", began)
	took := time.Since(began)
	answers := stop()
	if len(answers.failed) > 0 || len(answers.took) == 0 {
		t.Fatalf("%d answers; %q", len(answers.took), answers.failed)
	}
	t.Logf(`{"agents": %d, "secondsToBack": %.1f, "requests": %d, "p50ms": %d, "p99ms": %d, "longestMs": %d}`, n, took.Seconds(), len(answers.took),
		answers.took[len(answers.took)/2].Milliseconds(), answers.took[len(answers.took)*99/100].Milliseconds(), answers.took[len(answers.took)-1].Milliseconds())
}

// linked counts the sessions that work and were made since then.
func linked(t *testing.T, db *sql.DB, since time.Time) (n int) {
	t.Helper()
	check(t, db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM agent_session WHERE state = $1 AND connected_at >= $2`,
		store.SessionConnected, since.UnixMilli()).Scan(&n))
	return n
}
