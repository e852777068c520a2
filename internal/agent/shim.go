package agent

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/proc"
)

// exitReserve is the space kept for an attempt's exit record and the last line
// of its log (fault 20).
const exitReserve = 1 << 20

// logReserve is the part of it that is for the log.
const logReserve = 64 << 10

// cancelPoll is how often a shim looks whether it was told to end its job.
const cancelPoll = 100 * time.Millisecond

// JobEnv is what a job finds on the machine.
type JobEnv struct {
	Attempt string
	// Dir is the attempt's folder. The job may make files and folders in it
	// that begin with a name of its own; artifacts are fetched from here.
	Dir string
	// Log takes lines "<unix ms>\t<category>\t<text>\n", masked already, each
	// Write holding whole lines.
	Log io.Writer
	// Run runs a command to its end, or to that of ctx and the command's whole
	// tree.
	Run   func(ctx context.Context, cmd *exec.Cmd) (exitCode int, err error)
	Clock func() time.Time
}

// JobFunc carries a job out. It reports what came of the job itself; when ctx
// ends first, the shim makes Canceled or TimedOut of it. It fills in neither
// times nor log length.
type JobFunc func(ctx context.Context, env JobEnv, job *agentrpc.Job) *agentrpc.Result

// ShimDeps are what a shim needs from outside.
type ShimDeps struct {
	Run   JobFunc
	Clock func() time.Time
	// Grace is how long a job may take to end after a timeout; zero is
	// proc.DefaultGrace.
	Grace time.Duration
}

// errRevoked says that the agent closed the attempt before the job could start.
var errRevoked = errors.New("the attempt was revoked before its job began")

// HomeOf is the agent's home for an attempt's folder as a shim is given it.
func HomeOf(attemptDir string) string { return filepath.Dir(filepath.Dir(attemptDir)) }

// Shim is the whole life of an attempt's keeper, a process of its own. It reads
// the attempt and its job from stdin, because secrets go neither into arguments
// nor the environment nor onto the disk (abuse 72), claims the marker, runs the
// job, and writes the exit record. Of ctx it takes the values alone: only a
// cancellation by the agent and the time limit end the job. An error before the
// marker means that the job never began.
func Shim(ctx context.Context, dir string, stdin io.Reader, deps ShimDeps) error {
	shimSignals()
	ctx = context.WithoutCancel(ctx) // what ends the program does not end the job
	attempt, job, err := readJob(stdin)
	if err != nil {
		return err
	}
	self, err := proc.Self()
	if err != nil {
		return fmt.Errorf("start shim: %w", err)
	}
	if err := proc.AdoptOrphans(); err != nil {
		return fmt.Errorf("start shim: %w", err)
	}
	folder := Folder{Path: dir, Attempt: attempt}
	log, err := openLog(folder, deps.Clock)
	if err != nil {
		return fmt.Errorf("start shim: %w", err)
	}
	fail.Point(fail.ShimBegun)
	// From here on the job counts as started.
	//guard:claim I1: a job begins only if nobody has decided about it before; less `err != nil`, with `errors.Is(err, fs.ErrInvalid)`; seen by ./internal/agent TestRevokedShimRunsNothing
	if err := folder.claim(Marker{Attempt: attempt, Shim: &self}); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = errRevoked
		}
		return errors.Join(fmt.Errorf("start shim: %w", err), log.close())
	}
	fail.Point(fail.ShimClaimed)
	s := &shim{folder: folder, job: job, log: log, deps: deps}
	result := s.run(ctx)
	fail.Point(fail.ShimRan)
	// Log bytes before the length that speaks of them.
	if err := log.close(); err != nil {
		result.Warnings = true
	}
	result.LogLength = folder.logLength()
	fail.Point(fail.ShimLogged)
	if err := folder.finish(result); err != nil {
		return fmt.Errorf("write exit record of %s: %w", attempt, err)
	}
	fail.Point(fail.ShimFinished)
	return nil
}

type shim struct {
	folder Folder
	job    *agentrpc.Job
	log    *logFile
	deps   ShimDeps
}

// OutOfMemory begins the reason of a job that failed while the system killed a
// process for lack of memory (fault 47).
const OutOfMemory = "out of memory: the system killed a process while the job ran, because the memory of the machine or of the " +
	"agent's control group was used up; "

// The causes of a job's early end.
type endCause struct {
	proc.Stop

	outcome agentrpc.Outcome
}

// As lets proc.Runner find the grace.
func (e *endCause) As(target any) bool {
	stop, ok := target.(**proc.Stop)
	if ok {
		*stop = &e.Stop
	}
	return ok
}

func (s *shim) grace() time.Duration {
	if s.deps.Grace > 0 {
		return s.deps.Grace
	}
	return proc.DefaultGrace
}

func (s *shim) run(ctx context.Context) *agentrpc.Result {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if ms := s.job.GetTimeoutMs(); ms > 0 {
		timer := time.AfterFunc(time.Duration(ms)*time.Millisecond, func() {
			cancel(&endCause{proc.Stop{Grace: s.grace(), Reason: "the time limit was reached"}, agentrpc.Outcome_OUTCOME_TIMED_OUT})
		})
		defer timer.Stop()
	}
	s.lookForCancel(cancel) // it may have come before us
	go s.watchCancel(ctx, cancel)
	runner := &proc.Runner{
		Options: proc.Options{Name: groupName(s.folder.Path), Sole: true},
		Grace:   s.grace(),
	}
	started := s.deps.Clock()
	result := s.attempt(ctx, JobEnv{
		Attempt: s.folder.Attempt, Dir: s.folder.Path, Log: s.log, Run: runner.Run, Clock: s.deps.Clock,
	})
	result.StartedMs, result.EndedMs = started.UnixMilli(), s.deps.Clock().UnixMilli()
	if runner.Starved() && result.GetOutcome() == agentrpc.Outcome_OUTCOME_FAILED {
		result.Reason = OutOfMemory + result.GetReason()
	}
	return settle(result, context.Cause(ctx), runner.Left())
}

// attempt runs the job. What a job that panicked has done is not known.
func (s *shim) attempt(ctx context.Context, env JobEnv) (result *agentrpc.Result) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(os.Stderr, "the job panicked: %v\n", r)
			result = &agentrpc.Result{
				Outcome: agentrpc.Outcome_OUTCOME_UNKNOWN,
				Reason:  "a defect in the agent ended the job's keeper; how far the job came cannot be known",
			}
		}
	}()
	if ctx.Err() != nil {
		return &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_CANCELED}
	}
	return s.deps.Run(ctx, env, s.job)
}

// settle makes the job's own outcome that of the attempt. A job that succeeded
// although it was told to end has succeeded (fault 37); one that left processes
// behind after their kill is Unknown, whatever it says (fault 38).
func settle(result *agentrpc.Result, cause error, left []proc.Ref) *agentrpc.Result {
	if len(left) > 0 {
		result.Outcome = agentrpc.Outcome_OUTCOME_UNKNOWN
		result.Reason = fmt.Sprintf("the job was told to end, but %v", &proc.LeftError{Left: left})
		result.Receipt = nil
		return result
	}
	if end, ok := errors.AsType[*endCause](cause); ok && result.GetOutcome() != agentrpc.Outcome_OUTCOME_SUCCEEDED &&
		result.GetOutcome() != agentrpc.Outcome_OUTCOME_UNKNOWN {
		result.Outcome, result.Reason, result.Receipt = end.outcome, end.Reason, nil
	}
	return result
}

func (s *shim) lookForCancel(cancel context.CancelCauseFunc) bool {
	grace, ok := s.folder.canceled()
	if ok {
		cancel(&endCause{proc.Stop{Grace: grace, Reason: "canceled"}, agentrpc.Outcome_OUTCOME_CANCELED})
	}
	return ok
}

func (s *shim) watchCancel(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(cancelPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if s.lookForCancel(cancel) {
				return
			}
		}
	}
}

// A job on stdin is: length and text of the attempt's id, length and SHA-256
// and bytes of the job. Lengths are 32 bits, big-endian. A shim whose agent dies
// while it writes sees a short job and ends without a marker.
func writeJob(w io.Writer, attempt string, payload []byte) error {
	sum := sha256.Sum256(payload)
	var text []byte
	text = binary.BigEndian.AppendUint32(text, uint32(len(attempt)))
	text = append(text, attempt...)
	text = binary.BigEndian.AppendUint32(text, uint32(len(payload)))
	text = append(text, sum[:]...)
	text = append(text, payload...)
	_, err := w.Write(text)
	return err
}

func readJob(r io.Reader) (attempt string, job *agentrpc.Job, err error) {
	id, err := readPart(r, 200, 0)
	if err != nil {
		return "", nil, fmt.Errorf("read attempt: %w", err)
	}
	if !ValidID(string(id)) {
		return "", nil, errors.New("read attempt: not an id")
	}
	text, err := readPart(r, agentrpc.LargeMessage, sha256.Size)
	if err != nil {
		return "", nil, fmt.Errorf("read job: %w", err)
	}
	sum, payload := text[:sha256.Size], text[sha256.Size:]
	//guard:job-whole I9: a job that arrived damaged does not run; less `sha256.Sum256(payload) != [sha256.Size]byte(sum)`, with `len(sum) == 0`; seen by ./internal/agent TestRevokedShimRunsNothing
	if sha256.Sum256(payload) != [sha256.Size]byte(sum) {
		return "", nil, errors.New("read job: it arrived damaged")
	}
	job = new(agentrpc.Job)
	if err := proto.Unmarshal(payload, job); err != nil {
		return "", nil, fmt.Errorf("read job: %w", err)
	}
	return string(id), job, nil
}

// readPart reads a length and that many bytes, and extra ones before them.
func readPart(r io.Reader, limit, extra int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint32(head[:]))
	if length > limit {
		return nil, fmt.Errorf("%d bytes are over the limit of %d", length, limit)
	}
	part := make([]byte, extra+length)
	_, err := io.ReadFull(r, part)
	return part, err
}
