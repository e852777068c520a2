package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/proc"
)

// machine is a machine with an agent: its disk, its processes, its clock.
type machine struct {
	w    *world
	id   string // of the document
	name string

	powered  bool
	vanished bool // for good: the machine was deleted
	boot     int
	pids     int
	skew     int64
	full     bool // the disk
	wasFull  bool // and will be again when a reserve was spent

	disk        *disk
	folders     map[string]*folder
	packages    map[string]bool
	incarnation int64
	starts      []string // their names, this one first
	heard       int64    // the incarnation that a server has recorded last
	restored    bool     // from a snapshot, and nobody has confirmed it
	setBack     bool     // it was, once
	image       *image   // a snapshot of the machine, as a hypervisor makes it

	agent *process
	core  *agent.Core
	link  *link
	// late are requests that arrive when the machine has answered another.
	late []func()
}

// folder is an attempt's folder. What is in it is durable but for the log's
// last part.
type folder struct {
	marker *agent.Marker
	exit   *agentrpc.Result
	cancel *time.Duration
	log    []byte
	shim   *shim
}

// shim is the keeper of an attempt's job, a process of its own.
type shim struct {
	ref   proc.Ref
	alive bool
}

// image is what a restored machine has.
type image struct {
	content     []byte
	folders     map[string]*folder
	incarnation int64
	starts      []string
}

func (w *world) newMachine(id, name string) *machine {
	m := &machine{w: w, id: id, name: name, powered: true, boot: 1, folders: map[string]*folder{}, packages: map[string]bool{}}
	m.disk = &disk{m: m}
	m.skew = w.between(-5000, 5000)
	if w.rng.IntN(10) == 0 {
		m.skew = w.between(-86_400_000, 86_400_000) // fault 29
	}
	w.machines = append(w.machines, m)
	return m
}

func (m *machine) bootID() string { return fmt.Sprintf("%s-boot-%d", m.name, m.boot) }

// guard runs something in the agent's name; it may die of it.
func (m *machine) guard(f func()) (survived bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(crashing); !ok {
				panic(r)
			}
		}
	}()
	f()
	return true
}

// startAgent is the agent's process from its beginning.
func (m *machine) startAgent() {
	if !m.powered || m.vanished || m.agent != nil {
		return
	}
	m.incarnation++
	m.w.starts++
	m.starts = append([]string{strconv.Itoa(m.w.starts)}, m.starts...)
	m.agent = m.w.newProcess(m.name)
	m.w.say("%s: agent starts, incarnation %d", m.name, m.incarnation)
	m.guard(func() {
		journal, err := agent.OpenJournal(m.disk)
		if err != nil {
			m.w.say("%s: %v", m.name, err)
			m.killAgent()
			return
		}
		m.core = agent.NewCore(journal, m)
		m.sweep()
		for _, at := range m.core.List() {
			if at.Phase != agent.Ended {
				m.watch(at.ID, at.Phase, nil)
			}
		}
		m.agent.run(m.w.between(1, 500), m.keepLinked)
	})
}

// sweep removes the folders that the journal has no attempt for, but for those
// whose shim lives (fault 32).
func (m *machine) sweep() {
	known := map[string]bool{}
	for _, at := range m.core.List() {
		known[at.ID] = true
	}
	for _, attempt := range slices.Sorted(maps.Keys(m.folders)) {
		if f := m.folders[attempt]; !known[attempt] && (f.shim == nil || !f.shim.alive) {
			delete(m.folders, attempt)
		}
	}
}

// killAgent is kill -9 of the agent. Shims and scripts go on.
func (m *machine) killAgent() {
	if m.agent == nil {
		return
	}
	m.w.say("%s: agent dies", m.name)
	old := m.agent
	m.agent, m.core = nil, nil
	m.link.cut()
	m.w.after(m.w.between(50, 4000), m.startAgent)
	old.kill()
}

// powerOff ends all that runs and loses what was not synced (fault 12, 13).
func (m *machine) powerOff(back int64) {
	if !m.powered {
		return
	}
	m.w.say("%s: power lost", m.name)
	m.powered = false
	m.killAgent()
	m.disk.powerLoss()
	for _, attempt := range slices.Sorted(maps.Keys(m.folders)) {
		f := m.folders[attempt]
		if f.shim != nil && f.shim.alive {
			f.shim.alive = false
			m.w.truth.died(attempt)
			if n := len(f.log); n > 0 {
				f.log = f.log[:m.w.rng.IntN(n+1)]
			}
		}
	}
	m.w.after(back, func() {
		if !m.vanished {
			m.powered = true
			m.boot++
			m.w.say("%s: boots", m.name)
			m.startAgent()
		}
	})
}

// snapshot keeps what is on the machine's disk.
func (m *machine) snapshot() {
	if !m.powered {
		return
	}
	i := &image{content: append([]byte(nil), m.disk.content[:m.disk.synced]...), folders: map[string]*folder{}, incarnation: m.incarnation, starts: m.starts}
	for attempt, f := range m.folders {
		c := *f
		c.log, c.shim = append([]byte(nil), f.log...), nil
		i.folders[attempt] = &c
	}
	m.image = i
}

// restore puts the snapshot in the place of the disk, as a hypervisor does. That
// is found out where the agent has started since, and was heard: then its starts
// are others than the one the server knows. A snapshot that no start parts from
// what it replaces cannot be told from it by anybody.
func (m *machine) restore() {
	if m.image == nil || m.vanished || m.heard <= m.image.incarnation {
		return
	}
	m.powerOff(m.w.between(1000, 10_000))
	m.w.say("%s: restored from a snapshot", m.name)
	i := m.image
	m.image = nil
	m.disk.content, m.disk.synced = i.content, len(i.content)
	m.folders, m.incarnation, m.starts, m.restored, m.setBack = i.folders, i.incarnation, i.starts, true, true
	m.w.truth.forget(m)
}

// watch looks after an attempt until it has ended; spawned is the shim of this
// process, nil for one of an earlier agent.
func (m *machine) watch(attempt string, phase agent.Phase, spawned *spawn) {
	w := &agent.Watched{Attempt: attempt, Phase: phase}
	m.agent.run(m.w.between(0, 20), func(a *actor) {
		for {
			alone := spawned == nil || spawned.gone
			m.guard(func() {
				if err := m.core.Look(w, alone); err != nil {
					m.w.say("%s: look at %s: %v", m.name, attempt, err)
				}
				if m.core.Broken() != nil {
					m.killAgent() // fault 22
				}
			})
			if a.p.dead || w.Phase == agent.Ended {
				return
			}
			a.sleep(m.w.between(5, 300))
		}
	})
}

// spawn is a shim on its way; gone says that it has ended.
type spawn struct{ gone bool }

// startShim spawns the shim of an attempt: it claims the marker and runs the
// job, whatever becomes of the agent.
func (m *machine) startShim(attempt string, payload []byte) *spawn {
	sp := &spawn{}
	boot := m.boot
	m.w.after(m.w.between(1, 40), func() {
		f := m.folders[attempt]
		switch {
		case m.boot != boot || !m.powered:
			return
		case m.w.chance("shim dies before its marker", 60), f == nil, f.marker != nil:
			sp.gone = true
			return
		}
		m.pids++
		f.shim = &shim{ref: proc.Ref{PID: m.pids, Start: m.w.now, Boot: m.bootID()}, alive: true}
		f.marker = &agent.Marker{Attempt: attempt, Shim: &f.shim.ref}
		job := new(agentrpc.Job)
		if err := proto.Unmarshal(payload, job); err != nil {
			m.w.violated("I9", "the payload of %s is no job: %v", attempt, err)
			return
		}
		m.w.truth.started(m, attempt, job.GetExclusive())
		m.runJob(attempt, f, job, sp)
	})
	return sp
}

// runJob is a script's life: it prints, it takes its time, it ends somehow.
func (m *machine) runJob(attempt string, f *folder, job *agentrpc.Job, sp *spawn) {
	w := m.w
	lines := w.rng.IntN(6)
	if w.rng.IntN(20) == 0 {
		lines = 40
	}
	fails := !w.calm && w.truth.mayFail(attempt) && w.rng.IntN(8) == 0
	life := f.shim
	var step func(n int)
	step = func(n int) {
		switch {
		case !life.alive:
			return
		case w.chance("shim killed", 300): // fault 11
			life.alive, sp.gone = false, true
			w.truth.died(attempt)
			return
		case f.cancel != nil:
			w.after(w.between(1, 300), func() { m.endJob(attempt, f, job, sp, agentrpc.Outcome_OUTCOME_CANCELED) })
			return
		case n == 0 && w.rng.IntN(25) == 0: // a long one
			w.after(w.between(10_000, 60_000), func() { step(1) })
			return
		case n < lines:
			line := fmt.Appendf(nil, "%d\tInfo\t%s says %d\n", epoch+w.now, attempt, n)
			f.log = append(f.log, line...)
			w.truth.printed(attempt, line)
			w.after(w.between(1, 400), func() { step(n + 1) })
			return
		}
		outcome := agentrpc.Outcome_OUTCOME_SUCCEEDED
		if fails {
			outcome = agentrpc.Outcome_OUTCOME_FAILED
		}
		m.endJob(attempt, f, job, sp, outcome)
	}
	w.after(w.between(1, 200), func() { step(0) })
}

// endJob writes the exit record; a moment later the shim is gone.
func (m *machine) endJob(attempt string, f *folder, job *agentrpc.Job, sp *spawn, outcome agentrpc.Outcome) {
	life := f.shim
	if !life.alive {
		return
	}
	r := &agentrpc.Result{Outcome: outcome, LogLength: int64(len(f.log)), StartedMs: life.ref.Start, EndedMs: m.w.now}
	if outcome == agentrpc.Outcome_OUTCOME_SUCCEEDED {
		for _, p := range job.GetPackages() {
			if p.GetName() == "" {
				r.Receipt = &agentrpc.Receipt{
					Attempt: attempt, PackageId: p.GetPackageId(), Version: p.GetVersion(), PackageSha256: p.GetSha256(), InstallDir: "/apps",
					Files: []*agentrpc.FileHash{{Path: "index.html", Size: 1, Sha256: strings.Repeat("a", 64)}},
				}
			}
		}
		r.Outputs = []*agentrpc.OutputVariable{{Name: "By", Value: attempt}}
		if m.w.odds(4) {
			r.Outputs = append(r.Outputs, &agentrpc.OutputVariable{Name: "Key", Value: "canary-out-" + attempt + ".", Sensitive: true})
		}
	} else {
		r.ExitCode = 1
	}
	f.exit = r
	m.w.truth.finished(attempt, outcome)
	m.w.after(m.w.between(0, 10), func() { life.alive, sp.gone = false, true })
}

// The Host of the agent's core.

func (m *machine) Create(attempt string) error {
	if m.full {
		return fmt.Errorf("create: %w", agent.ErrDiskFull)
	}
	if m.folders[attempt] == nil {
		m.folders[attempt] = &folder{}
	}
	return nil
}

func (m *machine) Gather(attempt string, phase agent.Phase) (agent.Evidence, error) {
	e := agent.Evidence{Phase: phase, Boot: m.bootID()}
	f := m.folders[attempt]
	if f == nil {
		return e, nil
	}
	e.Folder, e.Marker, e.Result, e.LogLength = true, f.marker, f.exit, int64(len(f.log))
	e.Alive = f.shim != nil && f.shim.alive
	if e.Result != nil {
		e.Result, _ = proto.Clone(f.exit).(*agentrpc.Result)
	}
	return e, nil
}

func (m *machine) Revoke(attempt string) error {
	f := m.folders[attempt]
	if f == nil {
		return errors.New("no folder")
	}
	if f.marker == nil {
		f.marker = &agent.Marker{Attempt: attempt, Revoked: true}
	}
	return nil
}

func (m *machine) Cancel(attempt string, grace time.Duration) error {
	if f := m.folders[attempt]; f != nil {
		f.cancel = &grace
	}
	return nil
}

func (m *machine) LogLength(attempt string) int64 {
	if f := m.folders[attempt]; f != nil {
		return int64(len(f.log))
	}
	return 0
}

func (m *machine) Remove(attempt string) error {
	if f := m.folders[attempt]; f != nil && f.shim != nil && f.shim.alive {
		m.w.violated("I5", "%s: the folder of %s was removed while its script runs", m.name, attempt)
	}
	delete(m.folders, attempt)
	return nil
}

var _ agent.Host = (*machine)(nil)
