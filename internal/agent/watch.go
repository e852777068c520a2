package agent

import "time"

// watchPoll is how often an open attempt is looked at. Its end is seen at once
// where its shim is a child of this process.
const watchPoll = 50 * time.Millisecond

// watch watches an attempt until it has ended or the service does.
func (s *Service) watch(r *run) {
	s.wg.Go(func() {
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
