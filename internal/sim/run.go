package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// Report is what came of one seed.
type Report struct {
	Seed        uint64
	Events      int
	Faults      map[string]int
	Without     []string // kinds of faults that were left out
	Rollouts    int
	Succeeded   int
	Unknown     int
	Violations  []string
	History     []string
	Fingerprint string
	Seconds     float64 // of simulated time
}

// expected is a rollout that was queued, and what may come of it.
type expected struct {
	id      string
	key     string // of the task lock
	mayFail bool
}

// size is how much of everything a run has. Most runs are small: what matters
// happens between a few machines, and there can be more of them.
type size struct {
	machines, rollouts int
	storm              int64 // for how long faults are injected, in simulated ms
}

func (w *world) draw() size {
	switch n := w.rng.IntN(100); {
	case n < 65:
		return size{2 + w.rng.IntN(2), 1 + w.rng.IntN(2), w.between(12_000, 20_000)}
	case n < 92:
		return size{3 + w.rng.IntN(3), 2 + w.rng.IntN(3), 30_000}
	default:
		return size{5 + w.rng.IntN(5), 4 + w.rng.IntN(4), 60_000}
	}
}

const (
	// calmFor is how long all may take to end after the last fault, in
	// simulated ms (I13), and after is for how long one looks on after that.
	calmFor  = 1_200_000
	afterAll = 3_000
	// mostEvents bounds a run that does not end.
	mostEvents = 400_000
)

// Run runs one seed, without some kinds of faults.
func (g *Ground) Run(seed uint64, without ...string) (*Report, error) {
	w := &world{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 0x5117)), faults: map[string]int{}, without: without, digest: newDigest(), //nolint:gosec // reproducible by intent
		Ground: g,
	}
	if err := g.reset(w); err != nil {
		return nil, err
	}
	w.truth = newTruth(w)
	w.weigh()
	w.size = w.draw()
	defer w.close()
	if err := w.populate(); err != nil {
		return nil, err
	}
	w.startNode("node-1")
	for _, m := range w.machines {
		w.after(w.between(0, 3000), m.startAgent)
	}
	w.after(w.between(500, 3000), w.trouble)
	w.after(w.size.storm, w.becalm)
	for w.step() {
		if w.done() || w.events > mostEvents || w.now > w.size.storm+calmFor {
			break
		}
	}
	return w.report(), nil
}

func (w *world) close() {
	for _, n := range w.nodes {
		n.p.kill()
	}
	for _, m := range w.machines {
		if m.agent != nil {
			m.agent.kill()
		}
	}
}

// populate makes the machines and queues the rollouts, some of them later.
func (w *world) populate() error {
	roles := [][]string{{"web"}, {"web"}, {"web"}, {"web", "db"}, {"db"}}
	err := w.db.Write(context.Background(), func(tx *store.Tx) error {
		w.machines = nil                          // it may run more than once
		policy := resource.DefaultMachinePolicy() // one that gives machines up soon
		policy.SpaceID, policy.Name, policy.IsDefault = resource.DefaultSpace, "Impatient", false
		policy.PollingRequestQueueTimeout = resource.TimeSpan(time.Duration(5+w.rng.IntN(20)) * time.Second)
		policy.ConnectionConnectTimeout = policy.PollingRequestQueueTimeout
		if err := store.Insert(tx, policy); err != nil {
			return err
		}
		for i := range w.size.machines {
			m := &resource.Machine{EnvironmentIDs: []string{w.env}, Roles: roles[w.rng.IntN(len(roles))]}
			m.SpaceID, m.Name, m.MachinePolicyID = resource.DefaultSpace, fmt.Sprintf("m-%d", i+1), policy.ID
			m.Endpoint = resource.PollingEndpoint("poll://"+m.Name+"/", fmt.Sprintf("%064d", i+1))
			if err := store.Insert(tx, m); err != nil {
				return err
			}
			w.newMachine(m.ID, m.Name)
		}
		return nil
	})
	w.coming = w.size.rollouts
	for i := range w.size.rollouts {
		at := int64(0)
		if i > 0 && w.rng.IntN(2) == 0 {
			at = w.between(0, w.size.storm*2/3)
		}
		w.after(at, w.queueRollout)
	}
	return err
}

// queueRollout queues a rollout with a plan of its own, as a person does.
func (w *world) queueRollout() {
	var e *expected
	err := w.db.Write(context.Background(), func(tx *store.Tx) (err error) {
		e, err = w.planned(tx)
		return err
	})
	if err != nil {
		w.violated("database", "queue a rollout: %v", err)
		return
	}
	w.commits++
	w.coming--
	w.rollouts = append(w.rollouts, e)
	w.say("%s is queued", e)
}

func (w *world) planned(tx *store.Tx) (*expected, error) {
	id, err := tx.NextID("ServerTasks")
	if err != nil {
		return nil, err
	}
	project := fmt.Sprintf("Projects-%d", 1+w.rng.IntN(2))
	plan := &rollout.Plan{
		Rules: rollout.Rules, Kind: rollout.Deploy, Task: id, Space: rollout.Ref{ID: resource.DefaultSpace},
		Project: rollout.Ref{ID: project, Name: project}, Environment: rollout.Ref{ID: w.env, Name: "Production"},
		Release: rollout.Ref{ID: "Releases-" + id, Name: "1.0." + id}, SkipUnavailable: w.rng.IntN(2) == 0,
	}
	for n := range 1 + w.rng.IntN(3) {
		step := rollout.Step{
			ID: fmt.Sprint("step-", n), Name: fmt.Sprint("step ", n), Number: n + 1, Condition: rollout.ConditionSuccess,
			Roles: []string{[]string{"web", "db"}[w.rng.IntN(2)]},
		}
		if w.rng.IntN(2) == 0 {
			step.Window = rollout.Window{Number: 1 + w.rng.IntN(2)}
		}
		for a := range 1 + w.rng.IntN(2) {
			action := rollout.Action{
				ID: fmt.Sprintf("action-%d-%d", n, a), Name: fmt.Sprintf("action %d.%d", n, a), Number: fmt.Sprint(a + 1), Type: "Octopus.Script",
				Condition: rollout.ConditionSuccess, Properties: map[string]string{"Octopus.Action.Script.ScriptBody": "true"},
			}
			if w.rng.IntN(3) == 0 {
				action.Type, action.Receipt = "Octopus.TentaclePackage", true
				action.Packages = []rollout.Package{{PackageID: "Shop", Version: "1.0.0", SHA256: w.pkg.SHA256, Size: w.pkg.Size, Extension: ".zip", Extract: true}}
			}
			action.RunOnce = len(step.Actions) == 0 && w.rng.IntN(8) == 0
			step.Actions = append(step.Actions, action)
		}
		plan.Steps = append(plan.Steps, step)
	}
	task := &store.Task{ID: id, SpaceID: resource.DefaultSpace, Name: string(plan.Kind), State: store.TaskQueued, ProjectID: project, EnvironmentID: w.env}
	return &expected{id: id, key: project, mayFail: w.rng.IntN(5) == 0}, errors.Join(store.InsertTask(tx, task), store.InsertRollout(tx, plan))
}

// trouble is what happens to nodes and machines, again and again.
func (w *world) trouble() {
	if w.calm {
		return
	}
	defer w.after(w.between(100, 1500), w.trouble)
	m := w.machines[w.rng.IntN(len(w.machines))]
	switch {
	case w.chance("server killed", 15):
		if n := w.anyNode(); n != nil {
			n.crash()
		}
	case w.chance("server paused", 12): // fault 30
		if n := w.anyNode(); n != nil {
			n.pause(w.between(500, 15_000))
		}
	case w.chance("agent killed", 12):
		m.killAgent()
	case w.chance("power lost", 40):
		m.powerOff(w.between(1000, 20_000))
	case w.chance("machine's disk full", 30):
		m.full, m.wasFull = true, true
		w.after(w.between(500, 10_000), func() { m.full, m.wasFull = false, false })
	case w.chance("server's disk full", 60): // fault 21
		for _, n := range w.nodes {
			n.full = true
			w.after(w.between(500, 5000), func() { n.full = false })
		}
	case w.chance("machine vanishes", 150): // fault 34
		m.vanish()
	case w.chance("cancel", 40):
		w.cancelOne()
	case w.chance("snapshot", 20):
		m.snapshot()
	case w.chance("machine restored", 40): // fault 32
		m.restore()
	}
}

// vanish ends a machine for good, and a person deletes it.
func (m *machine) vanish() {
	if m.vanished {
		return
	}
	m.powerOff(0)
	m.vanished = true
	m.w.say("%s: vanishes", m.name)
	m.w.after(m.w.between(500, 5000), func() {
		m.w.commits++
		err := m.w.db.Write(context.Background(), func(tx *store.Tx) error {
			if err := store.ForgetMachine(tx, m.id, "deleted by admin"); err != nil {
				return err
			}
			return store.Delete[resource.Machine](tx, m.id)
		})
		m.w.say("%s: deleted: %v", m.name, err)
	})
}

// cancelOne cancels a rollout as a person does.
func (w *world) cancelOne() {
	if len(w.rollouts) == 0 {
		return
	}
	e := w.rollouts[w.rng.IntN(len(w.rollouts))]
	w.commits++
	err := w.db.Write(context.Background(), func(tx *store.Tx) error {
		task, err := store.GetTask(tx, e.id)
		if err != nil || task.State.Completed() {
			return err
		}
		return store.CancelTask(tx, e.id, "admin")
	})
	w.say("%s: canceled: %v", e.id, err)
}

// becalm ends all faults: from here on, everything has to come to its end.
func (w *world) becalm() {
	w.calm = true
	w.say("calm")
	for _, m := range w.machines {
		m.full, m.wasFull = false, false
		if m.link != nil && m.link.deaf {
			m.link.cut()
		}
	}
	for _, n := range w.nodes {
		n.full, n.p.frozen = false, false
	}
}

// done looks now and then whether every rollout has ended, and for a while on
// whether all stays so.
func (w *world) done() bool {
	if w.over > 0 {
		return w.now > w.over
	}
	if w.events%100 != 0 || w.coming > 0 || w.looked == w.commits {
		return false
	}
	w.looked = w.commits
	w.truth.inspect()
	if len(w.truth.ended) == len(w.rollouts) {
		w.over = w.now + afterAll
	}
	return false
}

func (w *world) report() *Report {
	r := &Report{Seed: w.seed, Events: w.events, Faults: w.faults, Without: w.without, Rollouts: len(w.rollouts), Seconds: float64(w.now) / 1000}
	if len(w.broken) == 0 {
		w.truth.inspect()
		for _, e := range w.rollouts {
			if _, ended := w.truth.ended[e.id]; !ended {
				w.violated("I13", "%s has not ended %d s after the last fault", e.id, (w.now-w.size.storm)/1000)
			}
		}
		if err := w.db.Read(context.Background(), store.VerifyAudit); err != nil {
			w.violated("I11", "%v", err)
		}
	}
	for _, state := range w.truth.ended {
		if state == store.TaskSuccess {
			r.Succeeded++
		}
	}
	r.Violations, r.History, r.Fingerprint = w.broken, w.history, w.fingerprint()
	return r
}

// Scratch makes a folder for runs in memory where the system has one.
func Scratch() (string, error) {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return os.MkdirTemp("/dev/shm", "slipway-sim-")
	}
	return os.MkdirTemp("", "slipway-sim-")
}
