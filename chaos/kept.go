package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/slipwayhq/slipway/internal/fail"
)

// kept is a server node or an agent: a process that is started again whenever
// it has ended.
type kept struct {
	r       *run
	name    string
	in      fail.Process
	args    []string
	env     []string
	log     string
	failDir string
	// down is how long it stays down after a death.
	down func() time.Duration

	mu        sync.Mutex
	p         *process
	hold      time.Duration // to stay down after the next death; 0: as usual
	killed    bool          // by us, and the death was not seen yet
	pausedTo  time.Time
	lastPause time.Time
	began     time.Time
}

// keep runs the process until ctx ends.
func (k *kept) keep(ctx context.Context) {
	for ctx.Err() == nil {
		p, err := start(k.log, append(environ(k.r.dir, "SLIPWAY_FAIL="+k.failDir), k.env...), k.r.o.slipway, k.args...)
		if err != nil {
			k.r.violation("cannot start %s: %v", k.name, err)
			return
		}
		k.mu.Lock()
		k.p, k.began, k.killed = p, time.Now(), false
		k.mu.Unlock()
		select {
		case <-p.done:
		case <-ctx.Done():
			p.signal(syscall.SIGKILL)
			<-p.done
			return
		}
		if !k.scan(ctx) && !k.excused() {
			k.r.endedByItself(k.name, k.tail())
		}
		pause(ctx, k.rest())
	}
}

// rest is how long the process stays down now.
func (k *kept) rest() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.hold
	if k.hold = 0; d == 0 {
		d = k.down()
	}
	return d
}

// holdDown makes the process stay down for that long after its next death.
func (k *kept) holdDown(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hold = d
}

// excused says whether the death was our doing. A node that was stopped for
// longer than its lease ends itself when it wakes up (fault 30).
func (k *kept) excused() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.killed || k.in == fail.Server && time.Since(k.lastPause) < time.Minute
}

// tail is the end of the process's log.
func (k *kept) tail() string {
	text, err := os.ReadFile(k.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-300):])
}

// kill is kill -9.
func (k *kept) kill() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.p == nil || k.p.ended() || k.killed {
		return false
	}
	k.killed, k.pausedTo = true, time.Time{}
	k.r.takeovers.gone(k.name, time.Now())
	k.p.signal(syscall.SIGKILL)
	return true
}

// pauseFor stops the process for a while.
func (k *kept) pauseFor(ctx context.Context, d time.Duration) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.p == nil || k.p.ended() || k.killed || time.Now().Before(k.pausedTo) {
		return false
	}
	if d >= longPause {
		k.r.takeovers.gone(k.name, time.Now())
	}
	k.p.signal(syscall.SIGSTOP)
	k.wakeAfter(ctx, d)
	return true
}

// wakeAfter continues a process that is stopped; k.mu is held.
func (k *kept) wakeAfter(ctx context.Context, d time.Duration) {
	p := k.p
	k.pausedTo = time.Now().Add(d)
	k.lastPause = k.pausedTo
	go func() {
		pause(ctx, d)
		p.signal(syscall.SIGCONT)
	}()
}

// steady says that the process has been up for that long and is neither dead
// nor stopped.
func (k *kept) steady(d time.Duration) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.p != nil && !k.p.ended() && !k.killed && time.Since(k.began) > d && time.Since(k.lastPause) > d
}

// up says that the process runs.
func (k *kept) up() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.p != nil && !k.p.ended() && !k.killed && !time.Now().Before(k.pausedTo)
}

// arm makes the process, or one of its shims, die or stop at the point.
func (k *kept) arm(name fail.Name, how string) {
	temp := filepath.Join(k.failDir, ".new")
	file := filepath.Join(k.failDir, string(name))
	if err := os.WriteFile(temp, []byte(how), 0o600); err != nil {
		k.r.violation("arm %s: %v", name, err)
		return
	}
	_ = os.Rename(temp, file)
}

// disarm takes back what was not hit.
func (k *kept) disarm(name fail.Name) { _ = os.Remove(filepath.Join(k.failDir, string(name))) }

// scan takes in the points that were hit, and says whether one of them ended
// the process itself.
func (k *kept) scan(ctx context.Context) (died bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	hits, _ := filepath.Glob(filepath.Join(k.failDir, "*.hit"))
	for _, file := range hits {
		how, err := os.ReadFile(file)
		if err != nil || os.Remove(file) != nil {
			continue
		}
		place := k.r.places[fail.Name(strings.TrimSuffix(filepath.Base(file), ".hit"))]
		stopped := strings.HasPrefix(string(how), "stop")
		if stopped {
			k.wakeAfter(ctx, k.r.rng.between(longPause, longPause+2*time.Second))
		}
		if place.In != fail.Shim {
			k.r.takeovers.gone(k.name, time.Now())
		}
		if place.In != fail.Shim && !stopped {
			died, k.killed = true, true
		}
		k.r.hit(k, place, stopped)
	}
	return died
}
