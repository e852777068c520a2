package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/slipwayhq/slipway/internal/fail"
)

// longPause is longer than a node's lease (6 s) and than an agent may be silent
// on its link.
const longPause = 7 * time.Second

// inject kills, stops and cuts until the budget is used up.
func (r *run) inject(ctx context.Context) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	var points sync.WaitGroup
	servers, agents := r.pointsOf(fail.Server), append(r.pointsOf(fail.Agent), r.pointsOf(fail.Shim)...)
	for part := range slices.Chunk(servers, max(1, (len(servers)+len(r.nodes)-1)/len(r.nodes))) {
		points.Go(func() { r.hitAll(ctx, part, r.armServer) })
	}
	for part := range slices.Chunk(agents, max(1, (len(agents)+1)/2)) {
		points.Go(func() { r.hitAll(ctx, part, r.armAgent) })
	}
	wg.Go(func() { r.watchPoints(ctx) })
	wg.Go(func() { r.injectServers(ctx) })
	wg.Go(func() { r.injectAgents(ctx) })
	wg.Go(func() { r.injectCuts(ctx) })
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	done := make(chan struct{})
	go func() { points.Wait(); close(done) }()
	for hitAll := false; !hitAll || r.t.injected() < r.budget; {
		select {
		case <-ctx.Done():
			points.Wait()
			return
		case <-done:
			hitAll, done = true, nil
		case <-tick.C:
			r.progress()
		case <-time.After(100 * time.Millisecond):
		}
	}
	stop(errEnough)
	wg.Wait()
}

// pointsOf are the points to be hit in one kind of process: all of them in a run
// that is long enough, else a share of what there is to kill.
func (r *run) pointsOf(in fail.Process) (list []fail.Place) {
	for _, p := range fail.Places() {
		if _, met := r.places[p.Name]; met && p.In == in && !(p.Unknown && r.small()) {
			list = append(list, p)
		}
	}
	r.rng.shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	if all := len(r.places); r.budget < 2*all {
		list = list[:min(len(list), max(1, r.budget*len(list)/(2*all)))]
	}
	return list
}

func (r *run) progress() {
	r.t.change(func(t *tally) {
		r.log("progress %d/%d kills and pauses (%.0f%% while a script ran), %d points of %d, %d cuts; %d tasks ordered, %d ended",
			t.Kills+t.Pauses, r.budget, percent(t.Running, t.Kills+t.Pauses), len(t.Points), len(r.places), t.Cuts, r.ordered.Load(), r.ended.Load())
	})
}

// injected counts one kill or pause. It was made while a script ran if one ran
// on that machine or, for a server or a point, on any.
func (r *run) injected(kind string, pause bool, machine string) {
	if err := r.truth.look(r.machines); err != nil {
		r.violation("read the scripts' own files: %v", err)
	}
	running := len(r.truth.running(machine)) > 0
	r.log("inject %s on %s, running %v", kind, machine, running)
	r.t.change(func(t *tally) {
		t.ByKind[kind]++
		if running {
			t.Running++
		}
		if pause {
			t.Pauses++
		} else {
			t.Kills++
		}
	})
}

// hit takes a point in that a process died or stopped at.
func (r *run) hit(k *kept, place fail.Place, stopped bool) {
	r.injected("point "+string(place.Name)+" in "+k.name, stopped, "")
	r.t.change(func(t *tally) {
		t.Failpoints++
		t.Points[place.Name]++
	})
	if place.Unknown {
		r.mu.Lock()
		r.shimsHit[k.name] = append(r.shimsHit[k.name], "keeper killed at "+string(place.Name))
		r.mu.Unlock()
	}
	r.mu.Lock()
	r.hits[place.Name]++
	r.mu.Unlock()
}

func (r *run) hitsOf(name fail.Name) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hits[name]
}

// watchPoints looks for points that were hit while their process lived on.
func (r *run) watchPoints(ctx context.Context) {
	for pause(ctx, 100*time.Millisecond) {
		for _, n := range r.nodes {
			n.scan(ctx)
		}
		for _, a := range r.agents {
			a.scan(ctx)
		}
	}
}

// pointLimit is how long a point may take to be hit; then it is armed anew,
// elsewhere, until the run's own limit.
const pointLimit = 10 * time.Second

// hitAll arms the points one after the other until each was hit.
func (r *run) hitAll(ctx context.Context, list []fail.Place, arm func(context.Context, fail.Place) (disarm func())) {
	for _, place := range list {
		for r.hitsOf(place.Name) == 0 {
			if ctx.Err() != nil {
				r.violation("point %s was never hit", place.Name)
				break
			}
			r.untilRunning(ctx)
			disarm := arm(ctx, place)
			_ = poll(ctx, "a hit", 50*time.Millisecond, pointLimit, func() (bool, error) { return r.hitsOf(place.Name) > 0, nil })
			disarm()
		}
		pause(ctx, r.rng.between(200*time.Millisecond, r.gap()))
	}
}

// gap is about the time between two injections of one kind. A long run takes
// it easier, so that there are rollouts enough to tell a share of.
func (r *run) gap() time.Duration {
	if r.small() {
		return 1500 * time.Millisecond
	}
	return 4 * time.Second
}

// small says that the run is too short for an outcome to be Unknown on purpose:
// one would be a large share of its rollouts.
func (r *run) small() bool { return r.budget < 50 }

// untilRunning waits, for a while, until a script runs.
func (r *run) untilRunning(ctx context.Context) {
	_ = poll(ctx, "a running script", 50*time.Millisecond, 3*time.Second, func() (bool, error) {
		return len(r.truth.running("")) > 0, r.truth.look(r.machines)
	})
}

// meeting is what has to happen so that a process comes by a point soon.
type meeting int

const (
	often     meeting = iota // it does so all the time
	once                     // it does so now and then
	onStart                  // its own process starts
	onDeath                  // another node is dead for longer than its lease
	onReturn                 // an agent comes back to the server
	onRevoke                 // an agent comes back and finds a start without a shim
	onPackage                // a package is installed
	onCancel                 // a task is canceled
)

func meetingOf(name fail.Name) meeting {
	for m, names := range map[meeting][]fail.Name{
		once:      {fail.BlobWritten, fail.BlobRenamed, fail.BlobUpload, fail.BlobUploaded, fail.Packages, fail.PackageSent, fail.Canceled, fail.Claiming, fail.Claimed},
		onStart:   {fail.TakingOver, fail.TookOver, fail.JournalReplace, fail.JournalReplaced, fail.Incarnation, fail.QueryAnswer},
		onDeath:   {fail.Burying, fail.Buried},
		onReturn:  {fail.Asked, fail.SessionOpen},
		onRevoke:  {fail.Revoking},
		onPackage: {fail.PackageWritten, fail.PackageRenamed, fail.Extracted, fail.Installed},
		onCancel:  {fail.Canceling, fail.CancelTold},
	} {
		if slices.Contains(names, name) {
			return m
		}
	}
	return often
}

func (r *run) armServer(ctx context.Context, place fail.Place) (disarm func()) {
	n := r.someNode(ctx)
	m, how := meetingOf(place.Name), "kill 1"
	if m == often {
		how = fmt.Sprint(r.how(), " ", 1+r.rng.n(3))
	}
	for _, other := range r.nodes { // whichever comes by first
		if m != onDeath || other != n {
			other.arm(place.Name, how)
		}
	}
	switch a := r.busyAgent(ctx); m {
	case onStart:
		r.killKept(&n.kept, "kill server", "")
	case onReturn:
		r.killKept(&a.kept, "kill agent", a.name)
	case onDeath:
		n.holdDown(longPause + 4*time.Second)
		r.killKept(&n.kept, "kill server", "")
	case often, once, onRevoke, onPackage, onCancel:
	}
	return func() {
		for _, n := range r.nodes {
			n.disarm(place.Name)
		}
	}
}

// how is what happens at a point: mostly a kill, sometimes a stop.
func (r *run) how() string {
	if r.rng.n(8) == 0 {
		return "stop"
	}
	return "kill"
}

func (r *run) armAgent(ctx context.Context, place fail.Place) (disarm func()) {
	list, names, how := []*agent{r.busyAgent(ctx)}, []fail.Name{place.Name}, "kill 1"
	m := meetingOf(place.Name)
	switch m {
	case onRevoke: // which follows a death between journal and shim
		names = append(names, fail.Journaled)
	case onPackage:
		list = []*agent{r.agentOf(packageGroup)}
	case onCancel: // whichever is told to first
		list = []*agent{r.agentOf(cancelGroup), r.agentOf(cancelGroup), r.agentOf(failGroup)}
	case often:
		if place.In == fail.Agent {
			how = fmt.Sprint("kill ", 1+r.rng.n(3))
		}
	case once, onStart, onDeath, onReturn:
	}
	for _, a := range list {
		for _, name := range names {
			a.arm(name, how)
		}
	}
	if m == onStart {
		r.killKept(&list[0].kept, "kill agent", list[0].name)
	}
	return func() {
		for _, a := range list {
			for _, name := range names {
				a.disarm(name)
			}
		}
	}
}

func (r *run) agentOf(group int) *agent {
	var list []*agent
	for _, a := range r.agents {
		if a.group == group {
			list = append(list, a)
		}
	}
	return list[r.rng.n(len(list))]
}

// someNode waits for a node that has been up for a moment.
func (r *run) someNode(ctx context.Context) *node {
	var found *node
	_ = poll(ctx, "a steady node", 50*time.Millisecond, 20*time.Second, func() (bool, error) {
		n := r.nodes[r.rng.n(len(r.nodes))]
		if n.steady(r.gap()) && n.ready(ctx) {
			found = n
		}
		return found != nil, nil
	})
	if found == nil {
		found = r.nodes[r.rng.n(len(r.nodes))]
	}
	return found
}

// busyAgent is one that a script runs under, if there is one in good health.
func (r *run) busyAgent(ctx context.Context) *agent {
	var found *agent
	_ = poll(ctx, "a busy agent", 30*time.Millisecond, 3*time.Second, func() (bool, error) {
		if err := r.truth.look(r.machines); err != nil {
			return false, err
		}
		first := r.rng.n(len(r.agents))
		for i := range r.agents {
			a := r.agents[(first+i)%len(r.agents)]
			if a.steady(time.Second) && len(r.truth.running(a.name)) > 0 {
				found = a
				return true, nil
			}
		}
		return false, nil
	})
	if found == nil {
		found = r.agents[r.rng.n(len(r.agents))]
	}
	return found
}

// killKept kills a process, and counts that.
func (r *run) killKept(k *kept, kind, machine string) {
	if k.kill() {
		r.injected(kind, false, machine)
	}
}

func (r *run) injectServers(ctx context.Context) {
	for pause(ctx, r.rng.between(r.gap(), 3*r.gap())) {
		if r.t.injected() >= r.budget {
			return
		}
		n := r.someNode(ctx)
		r.untilRunning(ctx)
		switch dice := r.rng.n(100); {
		case dice < 65:
			r.killKept(&n.kept, "kill server", "")
		case dice < 88:
			if n.pauseFor(ctx, r.rng.between(200*time.Millisecond, 2*time.Second)) {
				r.injected("pause server", true, "")
			}
		default:
			d := r.rng.between(longPause, longPause+2*time.Second)
			if n.pauseFor(ctx, d) {
				r.injected("pause server beyond its lease", true, "")
				pause(ctx, d)
			}
		}
	}
}

func (r *run) injectAgents(ctx context.Context) {
	shims := r.budget / 75
	for pause(ctx, r.rng.between(r.gap()/4, r.gap())) {
		if r.t.injected() >= r.budget {
			return
		}
		a := r.busyAgent(ctx)
		switch dice := r.rng.n(100); {
		case dice < 8 && shims > 0:
			if r.killWithKeeper(a) {
				shims--
			}
		case dice < 70:
			r.killKept(&a.kept, "kill agent", a.name)
		case dice < 94:
			if a.pauseFor(ctx, r.rng.between(200*time.Millisecond, 3*time.Second)) {
				r.injected("pause agent", true, a.name)
			}
		default:
			if a.pauseFor(ctx, r.rng.between(12*time.Second, 15*time.Second)) {
				r.injected("pause agent beyond its silence", true, a.name)
			}
		}
	}
}

// killWithKeeper kills an agent together with the keepers of its attempts:
// fault 11, the outcome is Unknown.
func (r *run) killWithKeeper(a *agent) bool {
	found := keepers(a.home)
	if len(found) == 0 || !a.kill() {
		return false
	}
	for folder, pid := range found {
		r.mu.Lock()
		r.shimsDead[folder] = true
		r.mu.Unlock()
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	r.injected("kill agent with keeper", false, a.name)
	return true
}

// cutFired counts a cut when its record came.
func (r *run) cutFired(c cut) {
	r.log("cut %s at record %d, back %v", c.mode, c.place, c.back)
	r.t.change(func(t *tally) {
		t.Cuts++
		t.CutPlaces[fmt.Sprint(c.mode, c.place, c.back)] = true
	})
}

// cutRecords is how far from now a cut waits: about as many records as an
// attempt takes on its link, from the order to what makes it forgotten.
const cutRecords = 24

// injectCuts goes through the records of the links of busy agents, both ways.
func (r *run) injectCuts(ctx context.Context) {
	var sweep []cut
	for pause(ctx, r.rng.between(500*time.Millisecond, time.Second)) {
		if len(sweep) == 0 {
			for place := 1; place <= cutRecords; place++ {
				for _, back := range []bool{false, true} {
					for _, mode := range []cutMode{cutBefore, cutWithin, cutStall, cutOneWay} {
						sweep = append(sweep, cut{back: back, after: place, place: place, mode: mode})
					}
				}
			}
			r.rng.shuffle(len(sweep), func(i, j int) { sweep[i], sweep[j] = sweep[j], sweep[i] })
		}
		c := sweep[0]
		sweep = sweep[1:]
		c.hold = r.rng.between(200*time.Millisecond, 2*time.Second)
		if c.mode == cutOneWay && r.rng.n(4) == 0 {
			c.hold = 15 * time.Second // until the ping finds it out (fault 16)
		}
		r.agents[r.rng.n(len(r.agents))].proxy.set(c)
	}
}

// calm ends all that still hangs over the processes.
func (r *run) calm() {
	for _, k := range r.all() {
		for _, place := range fail.Places() {
			k.disarm(place.Name)
		}
		k.mu.Lock()
		if k.p != nil {
			k.p.signal(syscall.SIGCONT)
		}
		k.mu.Unlock()
	}
	for _, a := range r.agents {
		a.proxy.clear()
	}
}

func (r *run) all() (list []*kept) {
	for _, n := range r.nodes {
		list = append(list, &n.kept)
	}
	for _, a := range r.agents {
		list = append(list, &a.kept)
	}
	return list
}
