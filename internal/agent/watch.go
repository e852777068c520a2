package agent

import (
	"runtime/debug"
	"time"
)

// watchPoll is how often an open attempt is looked at. Its end is seen at once
// where its shim is a child of this process.
const watchPoll = 50 * time.Millisecond

// trimAfter is how long the agent idles before it gives memory back.
const trimAfter = 5 * time.Second

// trim gives the memory that the calls about attempts took back to the system
// once they are over: an agent idles most of its life, on machines that have
// other work.
func (s *Service) trim() {
	tick := time.NewTicker(trimAfter)
	defer tick.Stop()
	for done := int64(0); ; {
		select {
		case <-s.background.Done():
			return
		case <-tick.C:
		}
		if n := s.spawned.Load(); n != done && s.watching.Load() == 0 {
			done = n
			debug.FreeOSMemory()
		}
	}
}

// watch watches an attempt until it has ended or the service does.
func (s *Service) watch(r *run) {
	s.watching.Add(1)
	s.wg.Go(func() {
		defer s.watching.Add(-1)
		look := newPace(watchPoll)
		defer look.stop()
		// Only a shim that was just spawned is still on its way to the marker.
		alone := r.exited == nil
		warned := ""
		for {
			err := s.core.Look(&r.Watched, alone)
			if r.Phase != Starting {
				r.once.Do(func() { close(r.settled) })
			}
			if r.Phase == Ended {
				return
			}
			if err != nil && err.Error() != warned {
				warned = err.Error()
				s.deps.Log.Error("look at attempt", "attempt", r.Attempt, "error", err)
				s.checkJournal()
			}
			select {
			case <-s.background.Done():
				return
			case <-r.exited:
				alone, r.exited = true, nil
			case <-look.next():
			}
		}
	})
}
