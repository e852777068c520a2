package agent_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/proc"
)

var errCrash = errors.New("crash")

// fakeDisk loses at a crash what was not synced, or any part of it, and can be
// made to crash, fail or be full at a given call.
type fakeDisk struct {
	durable, volatile []byte // volatile lies behind durable
	crashIn           int    // calls until the crash; negative: never
	tear              float64
	syncErr           error
	free              int // bytes; negative: without limit
	reserved          bool
	fullReplace       bool
}

func newFakeDisk() *fakeDisk { return &fakeDisk{crashIn: -1, free: -1} }

// step counts a call; at the crash some of what is volatile stays.
func (d *fakeDisk) step() error {
	if d.crashIn == 0 {
		return errCrash
	}
	if d.crashIn > 0 {
		if d.crashIn--; d.crashIn == 0 {
			d.durable = append(d.durable, d.volatile[:int(d.tear*float64(len(d.volatile)))]...)
			d.volatile = nil
			return errCrash
		}
	}
	return nil
}

func (d *fakeDisk) Load() ([]byte, error) { return slices.Concat(d.durable, d.volatile), nil }

func (d *fakeDisk) Write(p []byte) error {
	if d.free >= 0 && len(p) > d.free {
		d.volatile = append(d.volatile, p[:d.free]...)
		d.free = 0
		return agent.ErrDiskFull
	}
	if d.free >= 0 {
		d.free -= len(p)
	}
	d.volatile = append(d.volatile, p...)
	return d.step()
}

func (d *fakeDisk) Sync() error {
	if err := d.step(); err != nil {
		return err
	}
	if d.syncErr != nil {
		return d.syncErr
	}
	d.durable, d.volatile = append(d.durable, d.volatile...), nil
	return nil
}

func (d *fakeDisk) Truncate(size int64) error {
	if err := d.step(); err != nil {
		return err
	}
	all := slices.Concat(d.durable, d.volatile)
	d.durable, d.volatile = all[:size], nil
	return nil
}

func (d *fakeDisk) Replace(content []byte) error {
	if d.fullReplace {
		return agent.ErrDiskFull
	}
	if err := d.step(); err != nil {
		return err
	}
	d.durable, d.volatile = bytes.Clone(content), nil
	return nil
}

func (d *fakeDisk) Reserve() error {
	if d.reserved || d.free < 0 {
		return nil
	}
	if d.free < 1000 {
		return agent.ErrDiskFull
	}
	d.free, d.reserved = d.free-1000, true
	return nil
}

func (d *fakeDisk) Spend() error {
	if d.reserved {
		d.free, d.reserved = d.free+1000, false
	}
	return nil
}

func open(t rapid.TB, disk agent.Disk) *agent.Journal {
	t.Helper()
	j, err := agent.OpenJournal(disk)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// start orders a start that has nothing to prepare.
func start(j *agent.Journal, o agent.Order, payload []byte, exclusive bool) (agent.Decision, error) {
	return j.Start(o, payload, exclusive, func() error { return nil })
}

func order(attempt string, epoch int64) agent.Order {
	return agent.Order{Attempt: attempt, Rollout: "ServerTasks-1", Epoch: epoch}
}

func succeeded() *agentrpc.Result {
	return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED, LogLength: 42}
}

// must gives the decision of a call that works.
func must(t rapid.TB) func(agent.Decision, error) agent.Decision {
	return func(d agent.Decision, err error) agent.Decision {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

// abuse 73: a secret output is on the disk until the server has it, and not a
// moment longer, also when the disk was too full to rewrite the file at once.
func TestSecretsLeaveWithTheirAttempt(t *testing.T) {
	t.Parallel()
	disk := newFakeDisk()
	j := open(t, disk)
	end := func(attempt string) {
		t.Helper()
		must(t)(start(j, order(attempt, 1), []byte("job"), false))
		result := succeeded()
		result.Outputs = []*agentrpc.OutputVariable{{Name: "Token", Value: strings.Repeat(attempt, 40), Sensitive: true}}
		if err := j.Ended(attempt, result); err != nil {
			t.Fatal(err)
		}
	}
	held := func(attempt string) bool {
		t.Helper()
		content, err := disk.Load()
		if err != nil {
			t.Fatal(err)
		}
		// One letter again and again reads the same in base64, wherever it begins.
		return bytes.Contains(content, []byte(base64.StdEncoding.EncodeToString([]byte(strings.Repeat(attempt, 30)))))
	}
	end("a")
	end("b")
	if !held("a") || !held("b") {
		t.Fatal("the results are not on the disk, or this test cannot see them")
	}
	disk.fullReplace = true
	if err := j.Forget([]string{"a"}); err != nil {
		t.Fatal(err)
	}
	disk.fullReplace = false
	end("c")
	if err := j.Forget([]string{"c"}); err != nil {
		t.Fatal(err)
	}
	if held("a") || held("c") || !held("b") {
		t.Errorf("of forgotten attempts are held: a %v, c %v; of an open one: %v", held("a"), held("c"), held("b"))
	}
	if got := open(t, disk).Get("b").Result; got.GetOutputs()[0].GetValue() != strings.Repeat("b", 40) {
		t.Errorf("what is not forgotten is lost: %v", got)
	}
}

func TestOneStartPerAttempt(t *testing.T) {
	t.Parallel()
	disk := newFakeDisk()
	j := open(t, disk)
	if d := must(t)(start(j, order("a", 1), []byte("job"), false)); !d.Spawn || d.Phase != agent.Starting {
		t.Fatalf("first start: %+v", d)
	}
	// fault 17, abuse 12: a copy of the order starts nothing.
	if d := must(t)(start(j, order("a", 1), []byte("job"), false)); d.Spawn || d.Phase != agent.Starting {
		t.Errorf("copy: %+v", d)
	}
	if _, err := start(j, order("a", 1), []byte("other"), false); !errorIs[*agent.MismatchError](err) {
		t.Errorf("I9: the same attempt with another job: %v", err)
	}
	other := agent.Order{Attempt: "a", Rollout: "ServerTasks-2", Epoch: 1}
	if _, err := start(j, other, []byte("job"), false); !errorIs[*agent.MismatchError](err) {
		t.Errorf("I1: the same attempt for another rollout: %v", err)
	}
	j = open(t, disk) // kill -9
	if d := must(t)(start(j, order("a", 1), []byte("job"), false)); d.Spawn {
		t.Errorf("after a restart: %+v", d)
	}
	if err := j.Ended("a", succeeded()); err != nil {
		t.Fatal(err)
	}
	if err := j.Ended("a", &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_FAILED}); err != nil {
		t.Fatal(err)
	}
	j = open(t, disk)
	if d := must(t)(start(j, order("a", 2), []byte("job"), false)); d.Spawn || !proto.Equal(d.Result, succeeded()) {
		t.Errorf("I7: after its end: %+v", d) // the first result stays
	}
	if err := j.Forget([]string{"a", "never-seen"}); err != nil {
		t.Fatal(err)
	}
	j = open(t, disk)
	for _, id := range []string{"a", "never-seen"} {
		if d := must(t)(start(j, order(id, 2), []byte("job"), false)); d.Spawn || d.Phase.State() != agentrpc.AttemptState_ATTEMPT_STATE_ENDED ||
			d.Result.GetOutcome() != agentrpc.Outcome_OUTCOME_UNKNOWN { // it may have run, as a server that forgot it must hear
			t.Errorf("%s, after it was forgotten: %+v", id, d)
		}
	}
	if list := j.List(); len(list) != 0 {
		t.Errorf("still listed: %v", list)
	}
}

func errorIs[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// fault 30, 31, invariant I4
func TestLowerEpochIsRefused(t *testing.T) {
	t.Parallel()
	disk := newFakeDisk()
	j := open(t, disk)
	if d := must(t)(j.Query(order("a", 5), false)); d.Phase != agent.Unseen {
		t.Errorf("query: %+v", d)
	}
	j = open(t, disk) // the question alone has raised the epoch, durably
	calls := map[string]func(agent.Order) error{
		"start":  func(o agent.Order) error { _, err := start(j, o, []byte("job"), false); return err },
		"query":  func(o agent.Order) error { _, err := j.Query(o, true); return err },
		"cancel": func(o agent.Order) error { _, err := j.Cancel(o); return err },
	}
	for name, call := range calls {
		if err := call(order("a", 4)); !errorIs[*agent.StaleError](err) {
			t.Errorf("I4: %s under a lower epoch: %v", name, err)
		}
	}
	if _, err := start(j, agent.Order{Attempt: "b", Rollout: "ServerTasks-2", Epoch: 1}, nil, false); err != nil {
		t.Errorf("another rollout's epoch counted: %v", err)
	}
	if d := must(t)(start(j, order("a", 5), []byte("job"), false)); !d.Spawn {
		t.Errorf("start under the same epoch: %+v", d)
	}
}

// fault 18, design 6: "never seen" is durable.
func TestTombstones(t *testing.T) {
	t.Parallel()
	for name, shut := range map[string]func(*agent.Journal, agent.Order) (agent.Decision, error){
		"query with close":    func(j *agent.Journal, o agent.Order) (agent.Decision, error) { return j.Query(o, true) },
		"cancel before start": (*agent.Journal).Cancel,
	} {
		disk := newFakeDisk()
		if d := must(t)(shut(open(t, disk), order("a", 1))); d.Phase != agent.Closed {
			t.Errorf("%s: %+v", name, d)
		}
		j := open(t, disk)
		if d := must(t)(start(j, order("a", 9), []byte("job"), false)); d.Spawn || d.Phase != agent.Closed {
			t.Errorf("%s: a closed attempt started: %+v", name, d)
		}
	}
	j := open(t, newFakeDisk())
	must(t)(start(j, order("a", 1), nil, false))
	if d := must(t)(j.Query(order("a", 1), true)); d.Phase != agent.Starting {
		t.Errorf("a running attempt was closed: %+v", d)
	}
	if err := j.Forget([]string{"a"}); !errorIs[*agent.OpenError](err) {
		t.Errorf("I1: a running attempt was forgotten: %v", err)
	}
}

func TestExclusiveAttemptsExclude(t *testing.T) {
	t.Parallel()
	disk := newFakeDisk()
	j := open(t, disk)
	must(t)(start(j, order("a", 1), nil, true))
	if err := j.Running("a", proc.Ref{PID: 7}); err != nil {
		t.Fatal(err)
	}
	j = open(t, disk)
	d := must(t)(start(j, order("b", 1), nil, true))
	if d.Spawn || d.Result.GetOutcome() != agentrpc.Outcome_OUTCOME_NOT_STARTED || !strings.Contains(d.Result.GetReason(), "busy: a") {
		t.Errorf("second exclusive attempt: %+v", d)
	}
	if d := must(t)(start(j, order("c", 1), nil, false)); !d.Spawn {
		t.Errorf("an attempt that may run beside it: %+v", d)
	}
	if err := j.Ended("a", succeeded()); err != nil {
		t.Fatal(err)
	}
	if d := must(t)(start(j, order("d", 1), nil, true)); !d.Spawn {
		t.Errorf("after the end of the first: %+v", d)
	}
	if d := must(t)(start(j, order("b", 1), nil, true)); d.Spawn {
		t.Errorf("a refused attempt started after all: %+v", d)
	}
}

// fault 22: nothing is promised after a failed fsync, which is not repeated.
func TestFailedSyncEndsTheJournal(t *testing.T) {
	t.Parallel()
	disk := newFakeDisk()
	j := open(t, disk)
	disk.syncErr = errors.New("input/output error")
	if d, err := start(j, order("a", 1), nil, false); err == nil || d.Spawn {
		t.Errorf("started without a durable record: %+v, %v", d, err)
	}
	disk.syncErr = nil // the next fsync lies
	if j.Broken() == nil {
		t.Error("not broken")
	}
	if _, err := j.Query(order("a", 1), true); err == nil {
		t.Error("promised a tombstone on a broken journal")
	}
}

// fault 19, 20
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := newFakeDisk()
	disk.free = 2000
	j := open(t, disk)
	must(t)(start(j, order("a", 1), nil, false))
	disk.free = 10 // the script has filled the disk
	d := must(t)(start(j, order("b", 1), nil, false))
	if d.Spawn || !strings.Contains(d.Result.GetReason(), "disk full") || d.Result.GetOutcome() != agentrpc.Outcome_OUTCOME_NOT_STARTED {
		t.Errorf("start on a full disk: %+v", d)
	}
	if err := j.Ended("a", succeeded()); err != nil {
		t.Errorf("result on a full disk: %v", err)
	}
	again := open(t, disk)
	if got := again.Get("a").Result; !proto.Equal(got, succeeded()) {
		t.Errorf("result after a restart: %v", got)
	}
	disk.free, disk.reserved = 0, false
	if _, err := start(again, order("c", 1), nil, false); !errors.Is(err, agent.ErrDiskFull) {
		t.Errorf("without space for even the refusal: %v", err)
	}
	if again.Broken() != nil || again.Get("c").Phase != agent.Unseen {
		t.Errorf("a full disk broke the journal: %v", again.Broken())
	}
}

// fault 10, 13, 20: an agent that was killed between writing and syncing leaves a
// record that its successor reads, but that a loss of power may still take. On
// a full disk, where the journal cannot be written anew, it is synced instead.
func TestWhatWasReadIsDurable(t *testing.T) {
	t.Parallel()
	d := newFakeDisk()
	j := open(t, d)
	must(t)(start(j, order("A-1", 1), []byte("payload"), false))
	d.durable, d.volatile = nil, d.durable // written by the killed agent, not synced
	d.fullReplace = true
	if got := open(t, d).Get("A-1").Phase; got != agent.Starting || len(d.volatile) != 0 {
		t.Errorf("the attempt is in phase %d, and %d bytes of the journal can still be lost", got, len(d.volatile))
	}
}

// fault 13: a torn tail is cut wherever it was torn; damage before intact
// records is not.
func TestTornTailAndDamage(t *testing.T) {
	t.Parallel()
	disk := newFakeDisk()
	j := open(t, disk)
	must(t)(start(j, order("a", 1), []byte("job"), false))
	whole := len(disk.durable)
	if err := j.Ended("a", succeeded()); err != nil {
		t.Fatal(err)
	}
	full := bytes.Clone(disk.durable)
	for n := whole; n < len(full); n++ {
		torn := newFakeDisk()
		torn.durable = bytes.Clone(full[:n])
		j := open(t, torn)
		if j.Get("a").Phase != agent.Starting {
			t.Fatalf("cut at %d: %+v", n, j.Get("a"))
		}
		must(t)(j.Query(order("b", 1), true)) // what is written next is read again
		if open(t, torn).Get("b").Phase != agent.Closed {
			t.Fatalf("cut at %d: the next record is lost", n)
		}
	}
	for i := range whole {
		bad := newFakeDisk()
		bad.durable = bytes.Clone(full)
		bad.durable[i] ^= 0x10
		if _, err := agent.OpenJournal(bad); !errors.Is(err, agent.ErrDamaged) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	}
}

// fault 54: an agent that dies in its recovery, again and again, on a disk too
// full to write the journal anew, comes to the same end (I14).
func TestRecoveryChangesNothing(t *testing.T) {
	t.Parallel()
	disk := newFakeDisk()
	must(t)(start(open(t, disk), order("a", 1), []byte("job"), false))
	disk.fullReplace = true
	disk.durable = append(disk.durable, "\xf7SJ\x01torn"...)
	for i := range 10 {
		id := fmt.Sprint("b", i)
		must(t)(open(t, disk).Query(order(id, 1), true))
		disk.durable = append(disk.durable, "\xf7SJ\x01torn"...)
		j, err := agent.OpenJournal(disk)
		if err != nil {
			t.Fatalf("I14: recovery %d does not open what the one before it left: %v", i, err)
		}
		if a, b := j.Get("a").Phase, j.Get(id).Phase; a != agent.Starting || b != agent.Closed {
			t.Errorf("I14: after recovery %d the attempts are in the phases %d and %d", i, a, b)
		}
	}
}

func TestCompactionKeepsWhatCounts(t *testing.T) {
	t.Parallel()
	disk := newFakeDisk()
	j := open(t, disk)
	large := succeeded()
	large.Reason = strings.Repeat("x", 1<<20)
	for i := range 40 {
		id := fmt.Sprint("a", i)
		must(t)(start(j, order(id, int64(i)), nil, false))
		if err := errors.Join(j.Ended(id, large), j.Forget([]string{id})); err != nil {
			t.Fatal(err)
		}
	}
	if len(disk.durable) > 8<<20 {
		t.Errorf("the journal has %d bytes for nothing", len(disk.durable))
	}
	j = open(t, disk)
	if d := must(t)(start(j, order("a3", 39), nil, false)); d.Spawn {
		t.Error("compaction lost a forgotten id")
	}
	if _, err := j.Query(order("b", 38), false); !errorIs[*agent.StaleError](err) {
		t.Errorf("compaction lost an epoch: %v", err)
	}
}

// The journal is killed at every one of its writes and syncs, with any part of
// the last write on the disk; what it promised before holds after (I1, I4, I5,
// I7, fault 8, 9, 13).
func TestPromisesSurviveCrashes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		disk := newFakeDisk()
		j := open(t, disk)
		o := newOracle()
		for range rapid.IntRange(1, 60).Draw(t, "calls") {
			if rapid.IntRange(0, 3).Draw(t, "crash") == 0 {
				disk.crashIn = rapid.IntRange(1, 4).Draw(t, "at")
				disk.tear = rapid.Float64Range(0, 1).Draw(t, "tear")
			}
			o.call(t, j)
			if j.Broken() == nil {
				continue
			}
			disk.crashIn = rapid.IntRange(-1, 2).Draw(t, "crash in recovery") // fault 54
			for {
				var err error
				if j, err = agent.OpenJournal(disk); err == nil {
					break
				} else if !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
				disk.crashIn = -1
			}
			disk.crashIn = -1
		}
	})
}

// oracle holds what was promised.
type oracle struct {
	epochs  map[string]int64
	spawned map[string]int
	closed  map[string]bool
	results map[string]*agentrpc.Result
}

func newOracle() *oracle {
	return &oracle{map[string]int64{}, map[string]int{}, map[string]bool{}, map[string]*agentrpc.Result{}}
}

func (o *oracle) call(t *rapid.T, j *agent.Journal) {
	id := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "attempt")
	ord := agent.Order{Attempt: id, Rollout: "r-" + id[:1], Epoch: rapid.Int64Range(1, 4).Draw(t, "epoch")}
	var d agent.Decision
	var err error
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0, 1:
		d, err = start(j, ord, []byte(id), rapid.Bool().Draw(t, "exclusive"))
		if err == nil && d.Spawn {
			if o.spawned[id]++; o.spawned[id] > 1 {
				t.Fatalf("%s was started twice", id)
			}
			if o.closed[id] {
				t.Fatalf("%s was started behind its tombstone", id)
			}
		}
		if err == nil && d.Phase == agent.Ended {
			o.result(t, id, d.Result)
		}
	case 2:
		d, err = j.Query(ord, true)
		if err == nil && d.Phase == agent.Closed {
			o.closed[id] = true
		}
		if err == nil && d.Phase == agent.Ended {
			o.result(t, id, d.Result)
		}
	case 3:
		d, err = j.Cancel(ord)
		if err == nil && d.Phase == agent.Closed {
			o.closed[id] = true
		}
	case 4:
		phase := j.Get(id).Phase
		result := &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_FAILED, ExitCode: rapid.Int32().Draw(t, "code")}
		if err := j.Ended(id, result); err == nil && (phase == agent.Starting || phase == agent.Running) {
			o.result(t, id, result)
		}
		return
	case 5:
		err := j.Forget([]string{id})
		if err == nil {
			o.closed[id] = true
		}
		if err == nil || j.Broken() != nil { // it asked, so it has the result
			delete(o.results, id)
		}
		return
	}
	if err == nil {
		if ord.Epoch < o.epochs[ord.Rollout] {
			t.Fatalf("epoch %d was served after %d", ord.Epoch, o.epochs[ord.Rollout])
		}
		o.epochs[ord.Rollout] = ord.Epoch
	}
	if want := o.results[id]; want != nil && j.Broken() == nil && !proto.Equal(j.Get(id).Result, want) {
		t.Fatalf("the result of %s was %v and is %v", id, want, j.Get(id).Result)
	}
	if o.spawned[id] > 0 && j.Broken() == nil && j.Get(id).Phase == agent.Unseen {
		t.Fatalf("%s was started and is unseen", id)
	}
}

// result checks that a result, once told, stays.
func (o *oracle) result(t *rapid.T, id string, result *agentrpc.Result) {
	if before := o.results[id]; before != nil && !proto.Equal(before, result) {
		t.Fatalf("the result of %s was %v and became %v", id, before, result)
	}
	o.results[id] = proto.CloneOf(result)
}

func FuzzJournal(f *testing.F) {
	disk := newFakeDisk()
	j, err := agent.OpenJournal(disk)
	if err != nil {
		f.Fatal(err)
	}
	_, _ = start(j, order("a", 1), []byte("job"), true)
	_ = j.Running("a", proc.Ref{PID: 1, Boot: "b"})
	_ = j.Ended("a", succeeded())
	_, _ = j.Query(order("b", 2), true)
	_ = j.Forget([]string{"a"})
	f.Add(disk.durable)
	r := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		torn := bytes.Clone(disk.durable)
		torn[r.IntN(len(torn))] ^= 1
		f.Add(torn[:r.IntN(len(torn))])
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		disk := newFakeDisk()
		disk.durable = content
		j, err := agent.OpenJournal(disk)
		if err != nil {
			return
		}
		again, err := agent.OpenJournal(disk) // compaction reads back as it was
		if err != nil {
			t.Fatal(err)
		}
		if a, b := len(j.List()), len(again.List()); a != b {
			t.Fatalf("%d attempts became %d", a, b)
		}
	})
}
