package sim

import (
	"fmt"
	"math/rand/v2"
	"os"

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
	Unknown     map[string]int // attempts whose end is not known, by cause
	Violations  []string
	History     []string
	Fingerprint string
	Seconds     float64 // of simulated time
}

// expected is a rollout that was queued, and what may come of it.
type expected struct {
	id      string
	key     string // of the task lock
	plan    *rollout.Plan
	mayFail bool
}

// size is how much of everything a run has. Most runs are small: what matters
// happens between a few machines, and there can be more of them.
type size struct {
	nodes, machines, rollouts int
	alone                     bool  // the only node knows that no other can be there
	storm                     int64 // for how long faults are injected, in simulated ms
}

func (w *world) draw() size {
	s := size{nodes: 1 + w.rng.IntN(3), alone: w.rng.IntN(2) == 0}
	switch n := w.rng.IntN(100); {
	case n < 65:
		s.machines, s.rollouts, s.storm = 2+w.rng.IntN(2), 1+w.rng.IntN(2), w.between(12_000, 20_000)
	case n < 92:
		s.machines, s.rollouts, s.storm = 3+w.rng.IntN(3), 2+w.rng.IntN(3), 30_000
	default:
		s.machines, s.rollouts, s.storm = 5+w.rng.IntN(5), 4+w.rng.IntN(4), 60_000
	}
	return s
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
	for i := range w.size.nodes {
		w.startNode(fmt.Sprint("node-", i+1))
	}
	w.after(1000, w.attend)
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
	case w.chance("server drained", 30):
		w.drain(w.between(2000, 15_000))
	case w.chance("clock set", 60): // fault 28
		w.set += w.between(-600_000, 600_000)
	case w.chance("machine joins", 40): // fault 35
		w.join()
	case w.chance("machine retagged", 40), w.chance("machine disabled", 40): // fault 36
		m.change()
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
		err := m.w.asPerson(func(tx *store.Tx) error {
			if err := store.ForgetMachine(tx, m.id, "deleted by admin"); err != nil {
				return err
			}
			return store.Delete[resource.Machine](tx, m.id)
		})
		m.w.say("%s: deleted: %v", m.name, err)
	})
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
	w.drain(0)
}

// done looks now and then whether every rollout has ended, and for a while on
// whether all stays so.
func (w *world) done() bool {
	if w.over > 0 {
		return w.now > w.over
	}
	if w.events%100 != 0 || w.coming > 0 || !w.truth.allEnded() {
		return false
	}
	if w.truth.inspect(); len(w.truth.ended) == len(w.rollouts) && len(w.broken) == 0 {
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
				w.truth.show(e.id)
				w.violated("I13", "%s has not ended %d s after the last fault", e.id, (w.now-w.size.storm)/1000)
			}
		}
		w.truth.sealed()
	}
	for _, state := range w.truth.ended {
		if state == store.TaskSuccess {
			r.Succeeded++
		}
	}
	r.Unknown = w.truth.unknown
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
