package engine

import (
	"errors"
	"time"
)

// errPanicked is of a turn that has panicked.
var errPanicked = errors.New("panic")

const (
	restFirst = time.Second
	restMost  = time.Minute
)

// rest is the pause of a rollout whose turns panic, so that what will not pass
// by itself costs the others nothing (fault 54). It is not stored: the next
// process tries at once.
type rest struct {
	pause time.Duration
	until time.Time
}

// rests says whether the rollout is left alone for now.
func (e *Engine) rests(id string) bool {
	r := e.resting[id]
	return r != nil && e.now().Before(r.until)
}

// noteRest lengthens the rollout's pause where its turn panicked, and ends it
// where it did not.
func (e *Engine) noteRest(id string, err error) {
	if !errors.Is(err, errPanicked) {
		delete(e.resting, id)
		return
	}
	r := e.resting[id]
	if r == nil {
		r = &rest{pause: restFirst / 2}
		e.resting[id] = r
	}
	r.pause = min(2*r.pause, restMost)
	r.until = e.now().Add(r.pause)
}
