package agent

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

// watchPoll is how often an open attempt is looked at. Its end is seen at once
// where its shim is a child of this process.
const watchPoll = 50 * time.Millisecond

// watch watches an attempt until it has ended or the service does.
func (s *Service) watch(r *run) {
	s.mu.Lock()
	s.runs[r.folder.Attempt] = r
	s.mu.Unlock()
	s.wg.Go(func() {
		look := newPace(watchPoll)
		defer look.stop()
		// Only a shim that was just spawned is still on its way to the marker.
		alone := r.exited == nil
		warned := ""
		for {
			ended, err := s.look(r, alone)
			if ended {
				return
			}
			if err != nil && err.Error() != warned {
				warned = err.Error()
				s.deps.Log.Error("look at attempt", "attempt", r.folder.Attempt, "error", err)
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

// look judges the attempt once and states what is new. alone says that no shim
// can be on its way to the marker without having made it.
func (s *Service) look(r *run, alone bool) (ended bool, err error) {
	e, err := r.folder.gather(r.phase)
	if err != nil {
		return false, err
	}
	if alone && e.Folder && e.Marker == nil && r.phase == Starting {
		if err := r.folder.revoke(); err != nil {
			return false, err
		}
		if e, err = r.folder.gather(r.phase); err != nil {
			return false, err
		}
	}
	if r.phase == Starting && e.Marker != nil && e.Marker.Shim != nil {
		if err := s.record(func(j *Journal) error { return j.Running(r.folder.Attempt, *e.Marker.Shim) }); err != nil {
			return false, err
		}
		r.phase = Running
		r.once.Do(func() { close(r.settled) })
	}
	result := Judge(e)
	if result == nil {
		return false, nil
	}
	if result.GetOutcome() == agentrpc.Outcome_OUTCOME_NOT_STARTED {
		result.Reason = r.whyNotStarted(result.GetReason())
	}
	if err := s.record(func(j *Journal) error { return j.Ended(r.folder.Attempt, result) }); err != nil {
		return false, err
	}
	s.mu.Lock()
	delete(s.runs, r.folder.Attempt)
	s.mu.Unlock()
	r.once.Do(func() { close(r.settled) })
	return true, nil
}

// whyNotStarted adds what is known of a shim that did not come to its marker.
func (r *run) whyNotStarted(reason string) string {
	if r.spawnErr != nil {
		return "the job's keeper could not be started: " + r.spawnErr.Error()
	}
	text, err := os.ReadFile(filepath.Join(r.folder.Path, fileErrors))
	said := strings.TrimSpace(string(text[:min(len(text), 1000)]))
	if err != nil || said == "" {
		return reason
	}
	return "the job's keeper ended before the job began: " + said
}

// record changes the journal; if it breaks, the agent ends.
func (s *Service) record(change func(*Journal) error) error {
	s.mu.Lock()
	err := change(s.journal)
	broken := s.journal.Broken()
	s.mu.Unlock()
	if broken != nil {
		s.deps.Fatal(broken)
	}
	return err
}
