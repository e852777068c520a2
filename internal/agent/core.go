package agent

import (
	"sync"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/fail"
)

// Host is the machine below: the attempts' folders and the life of their shims.
// Create, Revoke and Cancel are durable when they return.
type Host interface {
	// Create makes the attempt's folder and keeps back space for its end. On an
	// error nothing stays.
	Create(attempt string) error
	// Gather collects what there is of an attempt that the journal has as open.
	Gather(attempt string, phase Phase) (Evidence, error)
	// Revoke makes sure that a job without a marker never starts; it changes
	// nothing where there is a marker.
	Revoke(attempt string) error
	// Cancel tells the shim, whether it has started yet or not, to end the job.
	Cancel(attempt string, grace time.Duration) error
	// LogLength is how many bytes of output there are.
	LogLength(attempt string) int64
	// Remove deletes the folder and all that the job left in it.
	Remove(attempt string) error
}

// Core is what the agent does about attempts, as synchronous functions over the
// journal and the host: Service drives it with goroutines, the simulation
// without (design 11). It may be used by any number of goroutines at once.
type Core struct {
	host Host

	mu      sync.Mutex // guards journal
	journal *Journal
}

// NewCore takes over a journal.
func NewCore(journal *Journal, host Host) *Core { return &Core{host: host, journal: journal} }

// Broken is why the journal ended, nil while it works: after that the process
// has to exit (fault 22).
func (c *Core) Broken() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.journal.Broken()
}

// Get gives a copy of the attempt; its phase is Unseen if there is none.
func (c *Core) Get(attempt string) Attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.journal.Get(attempt)
}

// List gives all attempts that were neither closed nor forgotten, by id.
func (c *Core) List() []Attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.journal.List()
}

// Start decides about a start order and calls spawn, at most once per attempt,
// after the start is durable. It does both under one lock: of two copies of an
// order one spawns and the other finds the attempt (fault 17).
func (c *Core) Start(o Order, sum []byte, exclusive bool, spawn func()) (Decision, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.journal.Start(o, sum, exclusive, func() error { return c.host.Create(o.Attempt) })
	if err == nil && d.Spawn {
		fail.Point(fail.Journaled)
		spawn()
	}
	return d, err
}

// Query decides about a question and says how long the log is.
func (c *Core) Query(o Order, closing bool) (d Decision, logLength int64, err error) {
	c.mu.Lock()
	d, err = c.journal.Query(o, closing)
	c.mu.Unlock()
	if err != nil {
		return Decision{}, 0, err
	}
	return d, c.host.LogLength(o.Attempt), nil
}

// Cancel decides about a cancellation. The wish is durable when it returns, so
// it outlives the agent; the job's end is seen by Query and Follow.
func (c *Core) Cancel(o Order, grace time.Duration) (Decision, error) {
	c.mu.Lock()
	d, err := c.journal.Cancel(o)
	c.mu.Unlock()
	if err == nil && d.Stop {
		fail.Point(fail.Canceling)
		err = c.trust(c.host.Cancel(o.Attempt, grace))
		fail.Point(fail.CancelTold)
	}
	return d, err
}

// Forget drops results that the server has committed, and then what the jobs
// left behind. What cannot be removed goes to left: the next start of the agent
// sweeps again.
func (c *Core) Forget(ids []string, left func(attempt string, err error)) error {
	c.mu.Lock()
	err := c.journal.Forget(ids)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	fail.Point(fail.Forgotten)
	for _, id := range ids {
		if err := c.host.Remove(id); err != nil {
			left(id, err)
		}
	}
	fail.Point(fail.Removed)
	return nil
}

// Watched is an open attempt that is looked at from time to time.
type Watched struct {
	Attempt string
	Phase   Phase
	// SpawnErr is why there is no shim at all.
	SpawnErr error
}

// Look judges the attempt once and makes durable what is new; w.Phase then is
// Ended when it has ended. alone says that no shim can be on its way to the
// marker without having made it: one that has none by then is revoked first.
func (c *Core) Look(w *Watched, alone bool) error {
	e, err := c.host.Gather(w.Attempt, w.Phase)
	if err != nil {
		return err
	}
	//guard:revoke I13: an attempt whose keeper never came is shut, and so comes to its end; less `c.host.Revoke(w.Attempt)`, with `error(nil)`
	if alone && e.Folder && e.Marker == nil && w.Phase == Starting {
		fail.Point(fail.Revoking)
		if err := c.trust(c.host.Revoke(w.Attempt)); err != nil {
			return err
		}
		if e, err = c.host.Gather(w.Attempt, w.Phase); err != nil {
			return err
		}
	}
	if w.Phase == Starting && e.Marker != nil && e.Marker.Shim != nil {
		if err := c.record(func(j *Journal) error { return j.Running(w.Attempt, *e.Marker.Shim) }); err != nil {
			return err
		}
		w.Phase = Running
		fail.Point(fail.Running)
	}
	result := Judge(e)
	if result == nil {
		return nil
	}
	if result.GetOutcome() == agentrpc.Outcome_OUTCOME_NOT_STARTED {
		result.Reason = w.whyNotStarted(&e, result.GetReason())
	}
	if err := c.record(func(j *Journal) error { return j.Ended(w.Attempt, result) }); err != nil {
		return err
	}
	w.Phase = Ended
	fail.Point(fail.Ended)
	return nil
}

// whyNotStarted adds what is known of a shim that did not come to its marker.
func (w *Watched) whyNotStarted(e *Evidence, reason string) string {
	switch {
	case w.SpawnErr != nil:
		return "the job's keeper could not be started: " + w.SpawnErr.Error()
	case e.Said != "":
		return "the job's keeper ended before the job began: " + e.Said
	}
	return reason
}

// trust ends the journal with the disk below both.
func (c *Core) trust(err error) error {
	if err == nil {
		return nil
	}
	return c.record(func(j *Journal) error { return j.Distrust(err) })
}

func (c *Core) record(change func(*Journal) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return change(c.journal)
}
