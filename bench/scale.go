package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"path/filepath"
	"time"
)

// The parts of scale. Sizes are numbers of machines.
const (
	singleDeploys = 40               // of one script to one real agent, one after the other
	floodFor      = 10 * time.Second // how long agents write as fast as they are let
	floodAgents   = 100
	turnsAgents   = 100 // that a rollout after the other runs on meanwhile
	idleAgents    = 1000
	deepActions   = 10
	deepAgents    = 100
	quietDeploys  = 10
)

// cost is what one rollout cost the server.
type cost struct {
	kind              string
	machines, actions int
	took              time.Duration
	before, after     figures
	events            int
	timings           timings
}

func (c *cost) cells() float64 { return float64(c.machines * c.actions) }

// counted is by how much a counter grew.
func (c *cost) counted(name string) float64 { return c.after.grown(c.before, name) }

// latency is what turns took while something else went on.
type latency struct {
	what          string
	before, after figures
	took          time.Duration
}

// scaled is what the run found out.
type scaled struct {
	costs     []cost
	latencies []latency
	single    timings // of one real agent, one attempt at a time
	perIdle   int64   // bytes of the server's resident memory per connected agent
	liveIdle  int64   // of these, without garbage
	starts    string
	load      string
}

// take reads the server's figures.
func (s *slipway) take(ctx context.Context) (figures, error) {
	return take(ctx, s.metrics, s.procs.running[0].Process.Pid)
}

// watch measures a rollout of the release to n machines of the environment.
func (s *slipway) watch(ctx context.Context, kind, release, environment string, n, actions int) (cost, error) {
	c := cost{kind: kind, machines: n, actions: actions}
	var err error
	if err = forgetPeak(s.procs.running[0].Process.Pid); err != nil {
		return c, err
	}
	if c.before, err = s.take(ctx); err != nil {
		return c, err
	}
	var task string
	c.took, err = timed(func() error {
		if task, err = s.api.order(ctx, release, environment); err != nil {
			return err
		}
		return s.api.await(ctx, task)
	})
	if err != nil {
		return c, fmt.Errorf("%d %s: %w", n, kind, err)
	}
	if c.after, err = s.take(ctx); err != nil {
		return c, err
	}
	if c.events, c.timings, err = readTimings(ctx, filepath.Join(s.dir, "data", "slipway.db"), task); err != nil {
		return c, err
	}
	if done := len(c.timings.start); done != n*actions {
		return c, fmt.Errorf("%d %s: %d attempts for %d actions", n, kind, done, n*actions)
	}
	if n > 1 {
		log.Printf("scale: %d %s, %d actions: %s", n, kind, actions, c.took.Round(time.Millisecond))
	}
	return c, nil
}

// scale measures everything that grows with the fleet.
func scale(ctx context.Context, o options, dir string) (scaled, error) {
	r := scaled{load: load()}
	if o.processes > 0 {
		if err := r.processes(ctx, o, filepath.Join(dir, "processes")); err != nil {
			return r, fmt.Errorf("%d agents as processes: %w", o.processes, err)
		}
	}
	if err := r.simulations(ctx, o, filepath.Join(dir, "simulated")); err != nil {
		return r, fmt.Errorf("simulated agents: %w", err)
	}
	return r, nil
}

// processes measures real agents: one rollout to all, then one attempt at a
// time on one of them.
func (r *scaled) processes(ctx context.Context, o options, dir string) (err error) {
	s, err := startSlipway(ctx, o.slipway, dir, o.processes)
	if s != nil {
		defer func() { err = errors.Join(err, s.Close()) }()
	}
	if err != nil {
		return err
	}
	c, err := s.watch(ctx, "processes", s.script, s.environment, o.processes, 1)
	if err != nil {
		return err
	}
	r.costs = append(r.costs, c)
	one, err := s.api.environment(ctx, "One")
	if err != nil {
		return err
	}
	first, err := s.api.first(ctx, "/api/machines?take=1")
	if err != nil {
		return err
	}
	first["EnvironmentIds"] = []string{s.environment, one}
	if _, err := s.api.put(ctx, "/api/machines/"+first.text("Id"), first); err != nil {
		return err
	}
	for range singleDeploys {
		c, err := s.watch(ctx, "process", s.script, one, 1, 1)
		if err != nil {
			return err
		}
		r.single.add(c.timings)
	}
	return nil
}

// simulations measures simulated agents, more and more of them.
func (r *scaled) simulations(ctx context.Context, o options, dir string) (err error) {
	s, err := startSimulated(ctx, o.slipway, dir)
	if s.slipway != nil {
		defer func() { err = errors.Join(err, s.Close()) }()
	}
	if err != nil {
		return err
	}
	environments := map[int]string{}
	for _, n := range o.sizes {
		env, err := s.api.environment(ctx, fmt.Sprintf("First %d", n))
		if err != nil {
			return err
		}
		environments[n] = env
	}
	within := func(i int) (ids []string) {
		for _, n := range o.sizes {
			if i < n {
				ids = append(ids, environments[n])
			}
		}
		return ids
	}
	for _, n := range o.sizes {
		took, err := timed(func() error { return s.enrol(ctx, n, within) })
		if err != nil {
			return err
		}
		log.Printf("scale: %d machines registered: %s", n, took.Round(time.Millisecond))
		if n == idleAgents {
			err = r.idle(ctx, s)
		} else {
			err = s.connectTo(ctx, n)
		}
		if err != nil {
			return err
		}
		c, err := s.watch(ctx, "simulated", s.script, environments[n], n, 1)
		if err != nil {
			return err
		}
		r.costs = append(r.costs, c)
		if n == deepAgents {
			err = r.deep(ctx, s, environments[n])
		}
		if n == idleAgents && environments[turnsAgents] != "" {
			err = errors.Join(err, r.flood(ctx, s, environments[turnsAgents]))
		}
		if err != nil {
			return err
		}
	}
	_, r.starts, err = s.tell("starts")
	return err
}

// deep measures a rollout of several actions.
func (r *scaled) deep(ctx context.Context, s *simulated, environment string) error {
	var actions []document
	for range deepActions {
		actions = append(actions, scriptAction(scriptText))
	}
	project, err := s.api.project(ctx, "Bench deep", actions...)
	if err != nil {
		return err
	}
	release, err := s.api.release(ctx, project, "1.0.0", "")
	if err != nil {
		return err
	}
	c, err := s.watch(ctx, "simulated", release, environment, deepAgents, deepActions)
	r.costs = append(r.costs, c)
	return err
}

// idle connects agents and measures what each costs the server's memory once
// all have come to rest.
func (r *scaled) idle(ctx context.Context, s *simulated) error {
	was := s.connected
	before, err := s.rest(ctx)
	if err != nil {
		return err
	}
	if err := s.connectTo(ctx, idleAgents); err != nil {
		return err
	}
	after, err := s.rest(ctx)
	r.perIdle = (after.memory - before.memory) / int64(idleAgents-was)
	held := after.grown(before, "go_gc_heap_live_bytes") + after.grown(before, "go_memstats_stack_inuse_bytes")
	r.liveIdle = int64(held) / int64(idleAgents-was)
	return err
}

// rest waits until everything has been quiet for a while, garbage collections
// included, and takes the figures of the quietest moment.
func (s *slipway) rest(ctx context.Context) (least figures, err error) {
	began := time.Now()
	err = poll(ctx, "rest", time.Second, time.Minute, func() (bool, error) {
		f, err := s.take(ctx)
		if err == nil && (least.metrics == nil || f.memory < least.memory) {
			least = f
		}
		return time.Since(began) > 4*idleSettle, err
	})
	return least, err
}

// flood measures turns of rollouts to some agents, alone and then while others
// write logs as fast as they are let.
func (r *scaled) flood(ctx context.Context, s *simulated, environment string) error {
	quiet, err := s.turns(ctx, "nothing else", environment, func(done int) (bool, error) { return done == quietDeploys, nil })
	if err != nil {
		return err
	}
	task, err := s.startFlood(ctx)
	if err != nil {
		return err
	}
	loud, err := s.turns(ctx, fmt.Sprintf("%d agents write logs", floodAgents), environment, func(int) (bool, error) {
		doc, err := s.api.get(ctx, "/api/tasks/"+task)
		return doc["IsCompleted"] == true, err
	})
	r.latencies = append(r.latencies, quiet, loud)
	return errors.Join(err, s.api.await(ctx, task))
}

// startFlood lets agents that no other rollout uses write.
func (s *simulated) startFlood(ctx context.Context) (task string, err error) {
	env, err := s.api.environment(ctx, "Flood")
	if err != nil {
		return "", err
	}
	page, err := s.api.get(ctx, fmt.Sprintf("/api/machines?skip=%d&take=%d", idleAgents-floodAgents, floodAgents))
	if err != nil {
		return "", err
	}
	items, _ := page["Items"].([]any)
	for _, item := range items {
		doc, ok := item.(map[string]any)
		if !ok {
			return "", errors.New("a machine is no document")
		}
		doc["EnvironmentIds"] = []string{env}
		if _, err := s.api.put(ctx, "/api/machines/"+document(doc).text("Id"), doc); err != nil {
			return "", err
		}
	}
	project, err := s.api.project(ctx, "Bench flood", scriptAction("flood "+floodFor.String()))
	if err != nil {
		return "", err
	}
	release, err := s.api.release(ctx, project, "1.0.0", "")
	if err != nil {
		return "", err
	}
	if task, err = s.api.order(ctx, release, env); err != nil {
		return "", err
	}
	before, err := s.take(ctx)
	if err != nil {
		return "", err
	}
	return task, poll(ctx, "the first logs", 20*time.Millisecond, time.Minute, func() (bool, error) {
		f, err := s.take(ctx)
		return f.grown(before, "slipway_log_bytes_total") > 0, err
	})
}

// turns deploys again and again until done says so.
func (s *slipway) turns(ctx context.Context, what, environment string, done func(deploys int) (bool, error)) (l latency, err error) {
	l.what = what
	if l.before, err = s.take(ctx); err != nil {
		return l, err
	}
	l.took, err = timed(func() error {
		for i := 0; ; i++ {
			if over, err := done(i); over || err != nil {
				return err
			}
			if err := s.api.deploy(ctx, s.script, environment); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return l, err
	}
	l.after, err = s.take(ctx)
	return l, err
}
