package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/slipwayhq/slipway/internal/agent/packagestore"
	"github.com/slipwayhq/slipway/internal/agent/script"
	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/template"
)

// Env is what a job finds on the machine.
type Env struct {
	Attempt string
	// Dir is the attempt's own folder (0700), absolute. The job makes "work"
	// and "artifact-N" in it; the first is gone when Run returns.
	Dir string
	// Log takes records "<unix ms>\t<category>\t<text>\n", masked, whole lines
	// in each Write.
	Log io.Writer
	// Run runs a command to its end or, when ctx ends, until nothing of its
	// process tree is left.
	Run   func(ctx context.Context, cmd *exec.Cmd) (exitCode int, err error)
	Clock func() time.Time
	// Applications is the folder that packages are installed below, absolute.
	Applications string
	Packages     *packagestore.Store
	// Environ is what scripts inherit, as os.Environ gives it.
	Environ []string
	// LookPath finds programs, as exec.LookPath does.
	LookPath func(string) (string, error)
	// Free tells the bytes free on a folder's disk, as packagestore.FreeSpace
	// does.
	Free func(dir string) (int64, error)
	// Random gives an unguessable text, as crypto/rand.Text does.
	Random func() string
}

// The action types that this package carries out.
const (
	typeScript = "Octopus.Script"
	typeDeploy = "Octopus.TentaclePackage"
)

// Run carries the job out and says what came of it. When ctx ends first, the
// outcome is Canceled unless the job had already succeeded; whether that was
// for a person or for the time limit is the caller's to say. Times and log
// length are not filled in.
func Run(ctx context.Context, env Env, job *agentrpc.Job) *agentrpc.Result {
	a := &attempt{env: env, job: job, work: filepath.Join(env.Dir, "work"), vars: variablesOf(env, job)}
	options := script.LogOptions{Out: env.Log, Clock: env.Clock, Secrets: secretsOf(a.vars), Quota: job.GetLogQuota()}
	if a.flag(propOwnMessages, false) {
		a.nonce = env.Random()
		options.Nonce = a.nonce
	}
	a.log = script.NewLog(options)
	err := a.prepare()
	if err == nil {
		err = a.do(ctx)
	}
	result := a.result(ctx, err)
	a.collectArtifacts(result)
	if err := a.cleanUp(); err != nil {
		a.log.Print(script.Warning, "The attempt's working folder could not be removed: "+err.Error())
	}
	if err := a.log.Close(); err != nil {
		result.Warnings = true
	}
	result.Warnings = result.Warnings || a.log.Collected().Warned
	return result
}

// attempt is a job while it runs.
type attempt struct {
	env     Env
	job     *agentrpc.Job
	vars    *template.Set
	log     *script.Log
	work    string // private files, removed at the end (abuse 72)
	current string // the scripts' current folder
	nonce   string
	// What has happened, so that NotStarted is said only where it is true.
	scripts   int  // started so far
	installed bool // a package is visible under its final name
	archives  []*os.File
	outputs   []*agentrpc.OutputVariable // the agent's own
	receipt   *agentrpc.Receipt
}

func (a *attempt) prepare() error {
	if err := os.RemoveAll(a.work); err != nil {
		return notStarted("its working folder cannot be made: %v", err)
	}
	if err := os.Mkdir(a.work, 0o700); err != nil {
		return notStarted("its working folder cannot be made: %v", err)
	}
	return nil
}

func (a *attempt) do(ctx context.Context) error {
	err := a.act(ctx)
	if packagestore.IsFull(err) && a.scripts == 0 && !a.installed {
		return notStarted("the machine's disk is full: %v", err) // fault 19
	}
	return err
}

func (a *attempt) act(ctx context.Context) error {
	switch a.job.GetActionType() {
	case typeScript:
		return a.runStep(ctx)
	case typeDeploy:
		return a.deploy(ctx)
	default:
		return failed(0, "this agent does not know the action type %q; upgrade it", a.job.GetActionType())
	}
}

func (a *attempt) cleanUp() error {
	var errs []error
	for _, f := range a.archives {
		errs = append(errs, f.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(a.work))...)
}

// ended is an outcome other than success.
type ended struct {
	outcome agentrpc.Outcome
	code    int
	reason  string
}

func (e *ended) Error() string { return e.reason }

func failed(code int, format string, args ...any) error {
	return &ended{agentrpc.Outcome_OUTCOME_FAILED, code, fmt.Sprintf(format, args...)}
}

// notStarted may only be used where nothing of the attempt's is left and no
// script has run.
func notStarted(format string, args ...any) error {
	return &ended{agentrpc.Outcome_OUTCOME_NOT_STARTED, 0, fmt.Sprintf(format, args...)}
}

func (a *attempt) result(ctx context.Context, err error) *agentrpc.Result {
	r := &agentrpc.Result{Outcome: agentrpc.Outcome_OUTCOME_SUCCEEDED, Outputs: a.outputs}
	for _, o := range a.log.Collected().Outputs {
		r.Outputs = append(r.Outputs, &agentrpc.OutputVariable{Name: o.Name, Value: o.Value, Sensitive: o.Sensitive})
	}
	if err == nil {
		r.Receipt = a.receipt
		return r
	}
	r.Outcome, r.Reason = agentrpc.Outcome_OUTCOME_FAILED, sentence(err)
	if e, ok := errors.AsType[*ended](err); ok {
		r.Outcome, r.ExitCode, r.Reason = e.outcome, int32(e.code), e.reason
	} else if ctx.Err() != nil {
		r.Outcome, r.Reason = agentrpc.Outcome_OUTCOME_CANCELED, context.Cause(ctx).Error()
	}
	r.Reason = a.log.Mask(r.Reason)
	if r.Outcome == agentrpc.Outcome_OUTCOME_FAILED {
		a.log.Print(script.Fatal, r.Reason)
	} else {
		a.log.Print(script.Warning, r.Reason)
	}
	return r
}

// sentence is what a person reads of an error.
func sentence(err error) string {
	if e, ok := errors.AsType[*resource.Error](err); ok {
		return e.Error()
	}
	return err.Error()
}
