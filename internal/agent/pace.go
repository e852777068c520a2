package agent

import "time"

// firstLook is how soon something that has just changed is looked at again.
const firstLook = 2 * time.Millisecond

// pace says when to look again: soon at first, then half as often each time,
// and at last as seldom as slowest. Short scripts are seen to end at once, long
// ones cost nothing.
type pace struct {
	timer   *time.Timer
	wait    time.Duration
	slowest time.Duration
}

func newPace(slowest time.Duration) *pace {
	return &pace{timer: time.NewTimer(slowest), wait: firstLook, slowest: slowest}
}

// next fires when it is time to look again.
func (p *pace) next() <-chan time.Time {
	p.timer.Reset(p.wait)
	p.wait = min(2*p.wait, p.slowest)
	return p.timer.C
}

// restart looks often again.
func (p *pace) restart() { p.wait = firstLook }

func (p *pace) stop() { p.timer.Stop() }
