package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/demo/mark"
	"github.com/slipwayhq/slipway/internal/cli/demo/traffic"
)

// minRequests is how many requests the demo wants to have seen before it
// judges.
const minRequests = 1000

// vanishing and joining are the machine that goes and the one that comes.
const vanishing, joining = "web-4", "web-5"

// story is a demo as it goes.
type story struct {
	*world
	customers *traffic.Traffic
	report    report
	killedAt  time.Time
}

// play runs the demo from its first process to its verdict.
func play(ctx context.Context, c *console.Console, keep bool) (err error) {
	w, err := newWorld(c)
	if err != nil {
		return err
	}
	leave, stopTraffic := context.WithCancelCause(context.WithoutCancel(ctx))
	s := &story{world: w}
	defer func() {
		stopTraffic(nil)
		if s.customers != nil {
			s.customers.Wait()
		}
		if keep {
			s.kept()
			return
		}
		err = errors.Join(err, s.clean(err))
	}()
	if err := s.tell(ctx, leave); err != nil {
		return fmt.Errorf("%w\nThe logs are in %s", err, w.folder)
	}
	stopTraffic(nil)
	s.customers.Wait()
	if err := s.judge(ctx); err != nil {
		return err
	}
	if err := s.report.print(c); err != nil {
		return err
	}
	if !s.report.Succeeded {
		return &console.ExitError{Code: console.ExitFailed}
	}
	return nil
}

// clean ends all processes; the folder stays when there is something to look
// at in it.
func (s *story) clean(failed error) error {
	err := s.sup.stop()
	if failed == nil && err == nil {
		err = os.RemoveAll(s.folder)
	}
	return err
}

func (s *story) kept() {
	s.c.Notef("Everything is still running.\n  export SLIPWAY_URL=%s\n  export SLIPWAY_API_KEY=%s\n  The shop: %s\n  Its files: %s",
		s.serverURL, s.key, s.addresses.Sites[production], s.folder)
}

// tell is the story, chapter by chapter.
func (s *story) tell(ctx, leave context.Context) error {
	for _, chapter := range []func(context.Context) error{
		s.begin,
		func(ctx context.Context) error { s.openShop(leave); return s.release(ctx, first) },
		s.machinesComeAndGo,
		s.releaseThroughACrash,
		s.enough,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) begin(ctx context.Context) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	s.say("A server runs at %s, a load balancer beside it.", s.serverURL)
	if err := s.environments(ctx); err != nil {
		return err
	}
	var names []string
	for _, m := range fleet() {
		if err := s.join(ctx, m, ""); err != nil {
			return err
		}
		names = append(names, m.name)
	}
	var group errgroup.Group
	group.Go(func() error { return s.healthy(ctx, names...) })
	group.Go(func() error { return s.define(ctx) })
	if err := group.Wait(); err != nil {
		return err
	}
	s.say("Six machines are healthy: %s (web-3 and web-4 poll). Releases %s and %s are made.", strings.Join(names, ", "), first, second)
	return nil
}

// openShop lets the customers in; they stay until the end.
func (s *story) openShop(ctx context.Context) {
	s.customers = traffic.Start(ctx, traffic.Config{
		URL: s.addresses.Sites[production], Workers: 2, Every: 20 * time.Millisecond, Now: s.c.Now,
		Environment: production, Database: database(s.folder, production),
	})
	s.customers.Allow(first)
	s.say("Customers shop from now on, at %s.", s.addresses.Sites[production])
}

// release sends the first release to Test and promotes the same to Production.
func (s *story) release(ctx context.Context, version string) error {
	for _, environment := range []string{staging, production} {
		before := s.customers.Stats().Holding
		from := s.c.Now()
		d, err := s.deploy(ctx, version, environment)
		if err != nil {
			return err
		}
		if err := s.world.finish(ctx, d); err != nil {
			return err
		}
		s.went(version, environment, from, s.customers.Stats().Holding-before)
	}
	return nil
}

// went notes a deployment that succeeded.
func (s *story) went(version, environment string, from time.Time, holding int) {
	seconds := s.c.Now().Sub(from).Seconds()
	s.report.deployed(version, environment, seconds, holding)
	s.say("%s is in %s after %.1f s.", version, environment, seconds)
}

func (s *story) machinesComeAndGo(ctx context.Context) error {
	if err := s.vanish(ctx, vanishing); err != nil {
		return err
	}
	s.say("The cloud took %s away: out of the load balancer, then the power was cut.", vanishing)
	token, err := s.issueToken(ctx)
	if err != nil {
		return err
	}
	from := s.c.Now()
	if err := s.join(ctx, machine{joining, "web", true}, token); err != nil {
		return err
	}
	s.say("%s registered with a one-time token.", joining)
	err = until(ctx, joining+" serves", 20*time.Millisecond, func() (bool, error) {
		return s.customers.Stats().Served[joining] > 0, nil
	})
	if err != nil {
		return err
	}
	for key, at := range s.customers.Stats().First {
		if name, release, _ := strings.Cut(key, " "); name == joining {
			s.report.NewMachine = newMachine{Release: release, Seconds: rounded(at.Sub(from).Seconds())}
		}
	}
	s.say("%s serves %s, %.1f s after it was switched on.", joining, s.report.NewMachine.Release, s.report.NewMachine.Seconds)
	return nil
}

// releaseThroughACrash sends the second release out and kills the server while
// a script of the rollout to Production runs.
func (s *story) releaseThroughACrash(ctx context.Context) error {
	from, before := s.c.Now(), s.customers.Stats().Holding
	d, err := s.deploy(ctx, second, staging)
	if err != nil {
		return err
	}
	if err := s.world.finish(ctx, d); err != nil {
		return err
	}
	s.went(second, staging, from, s.customers.Stats().Holding-before)
	from, before = s.c.Now(), s.customers.Stats().Holding
	s.customers.Allow(first, second)
	if d, err = s.deploy(ctx, second, production); err != nil {
		return err
	}
	if err := s.crash(ctx, d); err != nil {
		return err
	}
	if err := s.world.finish(ctx, d); err != nil {
		return err
	}
	s.customers.Allow(second)
	s.went(second, production, from, s.customers.Stats().Holding-before)
	return nil
}

// crash kills the server as soon as a verification of the rollout runs, which
// takes a second and a half, and starts it again a second later.
func (s *story) crash(ctx context.Context, d deployment) error {
	err := until(ctx, "a script of the rollout runs", 5*time.Millisecond, func() (bool, error) {
		marks, err := mark.Read(s.folder)
		if err != nil {
			return false, err
		}
		for _, m := range mark.Unfinished(marks) {
			if m.Deployment == d.id && m.Action == verify {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	s.killedAt = s.c.Now()
	if err := s.server.kill(); err != nil {
		return err
	}
	s.report.ServerKilled = true
	s.say("The server was killed (kill -9) while %s was being verified.", second)
	if err := s.c.Pause(ctx, time.Second); err != nil {
		return err
	}
	if err := s.startServer(ctx); err != nil {
		return err
	}
	s.say("The server is back.")
	return nil
}

// enough lets the customers stay a little after the last deployment, and until
// there were enough of them.
func (s *story) enough(ctx context.Context) error {
	if err := s.c.Pause(ctx, time.Second); err != nil {
		return err
	}
	return until(ctx, "enough customers came", 100*time.Millisecond, func() (bool, error) {
		return s.customers.Stats().Requests >= minRequests, nil
	})
}

// judge collects what was seen.
func (s *story) judge(ctx context.Context) error {
	marks, err := mark.Read(s.folder)
	if err != nil {
		return err
	}
	doc, err := s.machineDoc(ctx, vanishing)
	if err != nil {
		return err
	}
	stats := s.customers.Stats()
	r := &s.report
	r.Requests, r.Failed, r.Stale, r.Holding = stats.Requests, stats.Failed, stats.Stale, stats.Holding
	r.StartedTwice, r.RunningAtKill = mark.StartedTwice(marks), mark.Running(marks, s.killedAt)
	r.unfinished = len(mark.Unfinished(marks))
	r.Vanished.State = doc.Text("HealthStatus")
	r.examples = stats.Examples
	r.Seconds = rounded(s.c.Now().Sub(s.began).Seconds())
	r.Succeeded = r.broken() == 0
	return nil
}
