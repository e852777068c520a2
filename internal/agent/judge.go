package agent

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/proc"
)

// Evidence is what is found of an attempt that the journal has as open.
type Evidence struct {
	// Folder: the attempt's folder is there.
	Folder bool
	// Phase is the journal's: Starting or Running.
	Phase Phase
	// Marker is nil while the shim may still be on its way to it.
	Marker *Marker
	// Alive: the very shim that made the marker runs.
	Alive bool
	// Result is the exit record's, nil without one.
	Result *agentrpc.Result
	// Boot is the boot id of the system now.
	Boot      string
	LogLength int64
	// Said is what a shim that did not come to its marker said of why.
	Said string
}

// Judge says how an attempt has ended; nil says that it goes on. It is pure.
//
//	exit record                        its result
//	marker revoked                     NotStarted: the job can never have run
//	no marker                          goes on: revoke, then judge again
//	marker, shim alive                 goes on (fault 10, 46)
//	marker, shim gone, other boot      Unknown: the machine restarted (fault 12)
//	marker, shim gone                  Unknown: no exit record (fault 11, 14)
//	no folder, or no marker although
//	the journal says Running           Unknown: somebody removed files
func Judge(e Evidence) *agentrpc.Result {
	unknown := func(reason string) *agentrpc.Result {
		return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_UNKNOWN, Reason: reason, LogLength: e.LogLength}
	}
	switch {
	case e.Result != nil:
		return e.Result
	case !e.Folder:
		return unknown("the attempt's folder was removed from the machine while it was open; how it ended cannot be known")
	case e.Marker == nil && e.Phase == Running:
		return unknown("files were removed from the attempt's folder on the machine; how it ended cannot be known")
	case e.Marker == nil:
		return nil
	case e.Marker.Revoked:
		return &agentrpc.Result{
			Outcome: agentrpc.Outcome_OUTCOME_NOT_STARTED,
			Reason:  "the agent ended before the job began; the job provably did not start",
		}
	case e.Alive:
		return nil
	case e.Marker.Shim != nil && e.Marker.Shim.Boot != e.Boot:
		result := unknown("the machine was restarted while the job ran; how it ended cannot be known")
		result.Restarted = true
		return result
	default:
		return unknown("process gone, no exit record: the job's keeper was ended from outside; how the job ended cannot be known")
	}
}

// gather collects the evidence. The order counts: a shim writes its exit record
// before it ends, so its life is looked at first.
func (f Folder) gather(phase Phase) (Evidence, error) {
	e := Evidence{Folder: f.exists(), Phase: phase}
	if !e.Folder {
		return e, nil
	}
	var err error
	if e.Boot, err = proc.BootID(); err != nil {
		return e, err
	}
	if e.Marker, err = f.marker(); errors.Is(err, ErrDamaged) {
		e.Marker = &Marker{Attempt: f.Attempt} // somebody decided; who is not known any more
	} else if err != nil {
		return e, err
	}
	if e.Marker != nil && e.Marker.Shim != nil {
		if e.Alive, err = proc.Alive(*e.Marker.Shim); err != nil {
			return e, err
		}
	}
	e.LogLength = f.logLength()
	if e.Result, err = f.result(); errors.Is(err, ErrDamaged) {
		e.Result, err = &agentrpc.Result{
			Outcome: agentrpc.Outcome_OUTCOME_UNKNOWN, LogLength: e.LogLength,
			Reason: "the job has ended, but the record of how is damaged on the machine's disk",
		}, nil
	}
	return e, err
}

// revoke makes sure that a job without a marker never starts: it makes the
// marker itself. If the shim was first, nothing is changed.
func (f Folder) revoke() error {
	err := f.claim(Marker{Attempt: f.Attempt, Revoked: true})
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("revoke attempt %s: %w", f.Attempt, err)
	}
	return nil
}
