package sim

import (
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"math/rand/v2"
	"time"
)

// epoch is when every run begins, in unix milliseconds.
const epoch = 1_800_000_000_000

// world is one run: its clock, its scheduler and all that lives in it.
type world struct {
	seed  uint64
	rng   *rand.Rand
	now   int64 // milliseconds since epoch
	set   int64 // by how much the database's clock was set
	queue eventQueue
	seq   int
	self  *actor // that runs now

	*Ground
	size     size
	nodes    []*node
	machines []*machine
	rollouts []*expected
	policy   string // of machines
	coming   int    // rollouts that will be queued
	truth    *truth
	over     int64 // when the run ends, once all rollouts have ended

	// calm ends the injection of faults, so that what is left can end (I13).
	calm    bool
	events  int
	starts  int // of agents, so far
	faults  map[string]int
	weight  map[string]int // of each kind of fault in this run
	without []string       // kinds of faults that are left out
	history []string
	digest  hash.Hash
	broken  []string // violations
}

// clock is the database's, which somebody may set; machines and the nodes' own
// leases go by time as it passes.
func (w *world) clock() time.Time { return time.UnixMilli(epoch + w.now + w.set) }

// between draws a number of milliseconds.
func (w *world) between(least, most int64) int64 { return least + w.rng.Int64N(most-least+1) }

// say adds a line to the history.
func (w *world) say(format string, args ...any) {
	line := fmt.Sprintf("%8d  ", w.now) + fmt.Sprintf(format, args...)
	w.digest.Write([]byte(line + "\n"))
	w.history = append(w.history, line)
}

// violated stops the run: an invariant does not hold.
func (w *world) violated(invariant, format string, args ...any) {
	text := invariant + ": " + fmt.Sprintf(format, args...)
	w.say("VIOLATION %s", text)
	w.broken = append(w.broken, text)
}

// fingerprint is the same for two runs exactly if their histories are.
func (w *world) fingerprint() string { return hex.EncodeToString(w.digest.Sum(nil)) }

func newDigest() hash.Hash { return sha256.New() }

// after lets something happen in so many milliseconds.
func (w *world) after(ms int64, what func()) {
	w.seq++
	heap.Push(&w.queue, &event{at: w.now + max(ms, 0), tie: w.rng.Uint32(), seq: w.seq, what: what})
}

// step lets the next thing happen; false when nothing is left to happen.
func (w *world) step() bool {
	if len(w.queue) == 0 || len(w.broken) > 0 {
		return false
	}
	e, _ := heap.Pop(&w.queue).(*event)
	w.now = max(w.now, e.at)
	w.events++
	e.what()
	w.truth.check()
	return true
}

// event is something that will happen. Of two at the same time the seed says
// which is first.
type event struct {
	at   int64
	tie  uint32
	seq  int
	what func()
}

type eventQueue []*event

func (q eventQueue) Len() int { return len(q) }

func (q eventQueue) Less(i, j int) bool {
	switch a, b := q[i], q[j]; {
	case a.at != b.at:
		return a.at < b.at
	case a.tie != b.tie:
		return a.tie < b.tie
	default:
		return a.seq < b.seq
	}
}

func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any) {
	e, _ := x.(*event)
	*q = append(*q, e)
}

func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}
