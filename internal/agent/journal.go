package agent

import (
	"errors"
	"fmt"
	"slices"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/proc"
)

// Disk is what the journal lies on: one file that grows at its end. The errors
// of a full disk are ErrDiskFull; after any other error of Write, Sync,
// Truncate or Replace what is on the disk is not known.
type Disk interface {
	// Load reads the whole file; nothing when there is none.
	Load() ([]byte, error)
	// Write appends. Until Sync has returned, a crash may leave any part of it.
	Write(p []byte) error
	// Sync makes all that was written durable.
	Sync() error
	// Truncate cuts the file, durably.
	Truncate(size int64) error
	// Replace puts other content in place of the file: after a crash it is
	// wholly the old or the new one.
	Replace(content []byte) error
	// Reserve makes sure that the space kept back for Spend is there; it is
	// quick when it is.
	Reserve() error
	// Spend gives the reserved space back to the file system.
	Spend() error
}

// ErrDiskFull says that there was no space.
var ErrDiskFull = errors.New("disk full")

// compactAfter is how far the journal grows beyond its compacted size, in
// bytes, before it is compacted again.
const compactAfter = 4 << 20

// Journal makes the decisions of Attempts durable. It is not safe for
// concurrent use and holds no goroutine: the service and the simulation drive
// the same code (design 11).
//
// Every method that changes something returns only after an fsync. Its error is
// a refusal (StaleError, MismatchError, OpenError, ErrDiskFull), which changed
// nothing, or the end of this journal: from then on Broken is set and the
// process has to exit, because after a failed fsync nobody knows what the disk
// holds, and a second fsync would lie (fault 22).
type Journal struct {
	disk     Disk
	attempts *Attempts
	size     int64 // of the file
	compact  int64 // size after the last compaction
	secrets  bool  // the file holds secret outputs of attempts that are forgotten
	broken   error
}

// OpenJournal reads the journal, cuts a torn tail and compacts it.
func OpenJournal(disk Disk) (*Journal, error) {
	content, err := disk.Load()
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	records, intact, err := decodeFrames(content)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{disk: disk, attempts: NewAttempts(), size: intact}
	for _, r := range records {
		if err := j.attempts.Apply(r); err != nil {
			return nil, fmt.Errorf("open journal: %w", err)
		}
	}
	//guard:torn-tail I14: a torn record is cut off before the next is written; seen by ./internal/agent TestRecoveryChangesNothing
	if intact < int64(len(content)) {
		if err := disk.Truncate(intact); err != nil {
			return nil, fmt.Errorf("cut the journal's torn tail at byte %d: %w", intact, err)
		}
	}
	err = j.rewrite()
	if errors.Is(err, ErrDiskFull) {
		// A predecessor that was killed may have written what it did not sync.
		err = disk.Sync()
	}
	if err != nil {
		return nil, err
	}
	return j, nil
}

// Broken is why this journal ended, nil while it works.
func (j *Journal) Broken() error { return j.broken }

// Get gives a copy of the attempt.
func (j *Journal) Get(id string) Attempt { return j.attempts.Get(id) }

// List gives all attempts that were neither closed nor forgotten, by id.
func (j *Journal) List() []Attempt { return j.attempts.List() }

// Start decides about a start order. prepare is called only for an attempt that
// would be spawned, before its record; without space for what it prepares, or
// for the record, the attempt is NotStarted (fault 19). When the decision says
// Spawn, the start is durable and the caller has to spawn the shim, now and once.
func (j *Journal) Start(o Order, payload []byte, exclusive bool, prepare func() error) (Decision, error) {
	d, err := j.attempts.Start(o, payload, exclusive)
	if err != nil || !d.Spawn {
		return j.commit(d, err)
	}
	if j.broken != nil {
		return Decision{}, j.broken
	}
	err = j.disk.Reserve()
	if err == nil {
		err = prepare()
	}
	if err == nil {
		err = j.append(d.Records, false)
	}
	switch {
	case errors.Is(err, ErrDiskFull):
		return j.commit(j.attempts.Refuse(o, payload, "disk full: free space on the machine's disk"))
	case errors.Is(err, ErrDiskFailed):
		return Decision{}, j.Distrust(err)
	case err != nil:
		return Decision{}, fmt.Errorf("start attempt %s: %w", o.Attempt, err)
	}
	return d, nil
}

// Query decides about a question. Epoch and tombstone are durable before it
// returns.
func (j *Journal) Query(o Order, closing bool) (Decision, error) {
	return j.commit(j.attempts.Query(o, closing))
}

// Cancel decides about a cancellation. When it says Stop, the caller tells the
// shim.
func (j *Journal) Cancel(o Order) (Decision, error) { return j.commit(j.attempts.Cancel(o)) }

// Forget drops results that the server has committed. A secret that a script
// handed back does not stay on the machine's disk for longer than that (P9).
func (j *Journal) Forget(ids []string) error {
	secrets := slices.ContainsFunc(ids, func(id string) bool { return hasSecret(j.attempts.Get(id).Result) })
	if _, err := j.commit(j.attempts.Forget(ids)); err != nil {
		return err
	}
	j.secrets = j.secrets || secrets
	if j.secrets || j.size-j.compact > compactAfter {
		if err := j.rewrite(); err != nil && !errors.Is(err, ErrDiskFull) {
			return err
		}
	}
	return nil
}

func hasSecret(r *agentrpc.Result) bool {
	return slices.ContainsFunc(r.GetOutputs(), func(v *agentrpc.OutputVariable) bool { return v.GetSensitive() })
}

// Running states that the shim has claimed the attempt.
func (j *Journal) Running(id string, shim proc.Ref) error {
	_, err := j.commit(j.attempts.Runs(id, shim), nil)
	return err
}

// Ended states the attempt's result, once.
func (j *Journal) Ended(id string, result *agentrpc.Result) error {
	_, err := j.commit(j.attempts.Ends(id, result))
	return err
}

// commit makes a decision durable, from the reserve if need be (fault 20).
func (j *Journal) commit(d Decision, err error) (Decision, error) {
	if err == nil {
		err = j.append(d.Records, true)
	}
	if err != nil {
		return Decision{}, err
	}
	return d, nil
}

func (j *Journal) append(records []Record, urgent bool) error {
	if j.broken != nil {
		return j.broken
	}
	if len(records) == 0 {
		return nil
	}
	frame, err := encodeFrame(records)
	if err != nil {
		return err
	}
	if err := j.write(frame, urgent); err != nil {
		return err
	}
	j.size += int64(len(frame))
	for _, r := range records {
		if err := j.attempts.Apply(r); err != nil {
			return j.end(err)
		}
	}
	return nil
}

func (j *Journal) write(frame []byte, urgent bool) error {
	fail.Point(fail.JournalWrite)
	err := j.disk.Write(frame)
	if errors.Is(err, ErrDiskFull) {
		if err := j.disk.Truncate(j.size); err != nil {
			return j.end(err)
		}
		if !urgent {
			return err
		}
		if err := j.disk.Spend(); err != nil {
			return j.end(err)
		}
		if err = j.disk.Write(frame); errors.Is(err, ErrDiskFull) {
			return j.endUnless(j.disk.Truncate(j.size), err)
		}
	}
	if err != nil {
		return j.end(err)
	}
	fail.Point(fail.JournalWritten)
	//guard:fsync I5: what the agent answers with is on the disk before; less `j.disk.Sync()`, with `nil`
	err = j.disk.Sync()
	fail.Point(fail.JournalSynced)
	return j.endUnless(err, nil)
}

// rewrite compacts the file. It may run out of space and change nothing.
func (j *Journal) rewrite() error {
	records, err := j.attempts.Records()
	if err != nil {
		return j.end(err)
	}
	var content []byte
	for _, r := range records {
		frame, err := encodeFrame([]Record{r})
		if err != nil {
			return j.end(err)
		}
		content = append(content, frame...)
	}
	err = j.disk.Replace(content)
	if errors.Is(err, ErrDiskFull) {
		return err
	}
	if err != nil {
		return j.end(err)
	}
	j.size, j.compact, j.secrets = int64(len(content)), int64(len(content)), false
	return nil
}

// Distrust ends the journal when err says that the disk below it failed, also
// where that was seen at another file (fault 22). It gives err back.
func (j *Journal) Distrust(err error) error {
	if errors.Is(err, ErrDiskFailed) && j.broken == nil {
		return j.end(err)
	}
	return err
}

func (j *Journal) end(err error) error {
	j.broken = fmt.Errorf("the journal is not to be trusted any more: %w", err)
	return j.broken
}

// endUnless ends the journal if there was an error, and else gives the other.
func (j *Journal) endUnless(err, otherwise error) error {
	if err != nil {
		return j.end(err)
	}
	return otherwise
}
