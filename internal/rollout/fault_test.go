package rollout_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/slipwayhq/slipway/internal/rollout"
)

// busy drives a rollout over a large fleet whose running attempts end one by
// one, in a random order.
type busy struct {
	m       *memory
	p       *rollout.Plan
	random  *rand.Rand
	running []string
	flaky   map[string]bool // machines
	begun   int             // machines worked on
	most    int             // attempts at once
	failed  int
	// after the failure that stops the step, in machines begun.
	stopAt, atStop int
}

// begin starts what the rollout asks for.
func (b *busy) begin(at int64) {
	batch := b.m.send(b.p, at)
	b.running = append(b.running, batch...)
	b.begun += len(batch)
	b.most = max(b.most, len(b.running))
}

// endOne ends any of the running attempts; those of flaky machines fail.
func (b *busy) endOne(at int64) {
	i := b.random.IntN(len(b.running))
	id := b.running[i]
	b.running[i] = b.running[len(b.running)-1]
	b.running = b.running[:len(b.running)-1]
	outcome := rollout.OutcomeSucceeded
	if b.flaky[b.m.attempts[id].Cell.Member] {
		outcome = rollout.OutcomeFailed
		if b.failed++; b.failed == b.stopAt {
			b.atStop = b.begun
		}
	}
	b.m.end(b.p, at, id, outcome)
}

// roll goes through the rollout; at no instant may it work on more than bound.
func (b *busy) roll(t *testing.T, bound int) {
	t.Helper()
	for at := int64(10); ; at++ {
		b.begin(at)
		if active := b.m.steps[0].Active; len(b.running) > bound || active > bound || b.m.row.OpenCells > bound {
			t.Fatalf("%d attempts, %d machines and %d cells at once, the window is %d", len(b.running), active, b.m.row.OpenCells, bound)
		}
		if len(b.running) == 0 {
			return
		}
		b.endOne(at)
	}
}

// fault 48: 10,000 targets of which 1 % are flaky. At every instant no more
// machines are worked on than the window allows, and all of it is used; every
// failure is listed; and the stop rule is exact: with as many failures as it
// tolerates all machines are worked on, and with one more none is begun after
// that failure.
func TestTenThousandFlakyTargets(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		tolerate      string
		window        rollout.Window
		bound         int
		flaky, stopAt int // stopAt 0: it goes through
	}{
		{"1%", rollout.Window{Percent: 2}, 200, 100, 0},
		{"1%", rollout.Window{Percent: 2}, 200, 150, 101},
		{"100", rollout.Window{Number: 37}, 37, 100, 0},
		{"99", rollout.Window{Number: 37}, 37, 100, 100},
		{"Stop", rollout.Window{Percent: 1}, 100, 100, 1},
		{"Continue", rollout.Window{Number: 1000}, 1000, 100, 0},
	} {
		t.Run(fmt.Sprintf("%s, %d flaky, window %+v", tc.tolerate, tc.flaky, tc.window), func(t *testing.T) {
			t.Parallel()
			const fleet = 10_000
			s := step("rolling", "web")
			s.Window = tc.window
			var err error
			if s.Tolerate, err = rollout.ParseTolerance(tc.tolerate); err != nil {
				t.Fatal(err)
			}
			b := &busy{m: newMemory("ServerTasks-1"), p: plan(s), random: rand.New(rand.NewPCG(48, uint64(tc.flaky))), flaky: map[string]bool{}, stopAt: tc.stopAt}
			for _, i := range b.random.Perm(fleet)[:tc.flaky] {
				b.flaky[fmt.Sprintf("Machines-web%d", i+1)] = true
			}
			b.m.join(b.p, machines("web", fleet)...)
			b.roll(t, tc.bound)
			if b.most != tc.bound {
				t.Errorf("%d machines at once at most, the window is %d", b.most, tc.bound)
			}
			switch {
			case tc.stopAt == 0 && b.begun != fleet:
				t.Errorf("%d of %d machines were worked on", b.begun, fleet)
			case tc.stopAt != 0 && (b.atStop == 0 || b.begun != b.atStop || b.begun == fleet):
				t.Errorf("%d machines were begun, %d up to the failure that stops", b.begun, b.atStop)
			}
			b.listed(t)
			want(t, "end", fmt.Sprint(b.m.finished), "[Failed]") // tolerated is not green
		})
	}
}

// listed wants every failure, and nothing else, to be listed.
func (b *busy) listed(t *testing.T) {
	t.Helper()
	failed := 0
	for k, c := range b.m.cells {
		if c.State != rollout.CellFailed {
			continue
		}
		failed++
		if !b.flaky[k.Member] || c.Reason == "" {
			t.Errorf("%s is listed as failed: %q", k.Member, c.Reason)
		}
	}
	if failed != b.failed || b.m.row.Failures != b.failed {
		t.Errorf("%d failures listed and %d counted, there were %d", failed, b.m.row.Failures, b.failed)
	}
}
