package agent

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"connectrpc.com/connect"

	"github.com/slipwayhq/slipway/internal/agent/script"
	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/proc"
)

const (
	// maxProbes is how many health checks run at once; they never wait for, nor
	// hold up, an attempt.
	maxProbes = 4
	// defaultProbe and maxProbe bound how long one may take.
	defaultProbe = time.Minute
	maxProbe     = 10 * time.Minute
	probeGrace   = 2 * time.Second
	probeLog     = 256 << 10
)

var errProbeTime = errors.New("the health check took too long")

// Probe implements agentrpc.AgentHandler. A check without a script proves the
// connection by its answer.
func (s *Service) Probe(ctx context.Context, req *connect.Request[agentrpc.ProbeRequest]) (*connect.Response[agentrpc.ProbeResponse], error) {
	spec := script.Spec{Syntax: script.Bash, Body: req.Msg.GetBash(), Dir: s.home, Env: os.Environ()}
	if runtime.GOOS == "windows" {
		spec.Syntax, spec.Body = script.PowerShell, req.Msg.GetPowershell()
	}
	if spec.Body == "" {
		return connect.NewResponse(&agentrpc.ProbeResponse{}), nil
	}
	select {
	case s.probes <- struct{}{}:
		defer func() { <-s.probes }()
	default:
		return nil, connect.NewError(connect.CodeResourceExhausted, errors.New("too many health checks run already"))
	}
	limit := time.Duration(req.Msg.GetTimeoutMs()) * time.Millisecond
	if limit <= 0 {
		limit = defaultProbe
	}
	ctx, cancel := context.WithTimeoutCause(ctx, min(limit, maxProbe), errProbeTime)
	defer cancel()
	answer, err := s.probe(ctx, spec)
	if err != nil {
		return nil, s.failed(err)
	}
	return connect.NewResponse(answer), nil
}

func (s *Service) probe(ctx context.Context, spec script.Spec) (*agentrpc.ProbeResponse, error) {
	dir, err := os.MkdirTemp(s.home, "probe-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cmd, err := script.Prepare(filepath.Join(dir, "work"), spec, exec.LookPath)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	log := script.NewLog(script.LogOptions{Out: &out, Clock: s.deps.Clock, Quota: probeLog})
	cmd.Stdout, cmd.Stderr = log.Stdout(), log.Stderr()
	runner := &proc.Runner{Options: proc.Options{Name: groupName(dir)}, Grace: probeGrace}
	code, err := runner.Run(ctx, cmd)
	timedOut := errors.Is(err, errProbeTime)
	if err != nil && !timedOut {
		return nil, err
	}
	ending := log.EndScript()
	if err := log.Close(); err != nil {
		return nil, err
	}
	if ending.Failure != "" && code == 0 {
		code = 1
	}
	return &agentrpc.ProbeResponse{
		ExitCode: int32(code), Log: out.Bytes(), Warnings: log.Collected().Warned, TimedOut: timedOut,
	}, nil
}
