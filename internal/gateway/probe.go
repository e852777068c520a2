package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/resource"
)

// ProbeResult is what a health check script did.
type ProbeResult struct {
	ExitCode int
	Log      []byte
	Warnings bool
	TimedOut bool
}

// Probe runs a health check script on the machine, outside its journal and its
// slot, with a deadline. Empty scripts check only that the agent answers. A
// listening machine without a session is dialled for it. A machine that cannot
// be reached is an error of code Unavailable, whose text is for people.
func (g *Gateway) Probe(ctx context.Context, machine, bash, powershell string, timeout time.Duration) (ProbeResult, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout+probeExtra, errNoAnswer)
	defer cancel()
	var result ProbeResult
	err := g.reach(ctx, machine, func(agent Agent) error {
		answer, err := agent.Probe(ctx, &agentrpc.ProbeRequest{Bash: bash, Powershell: powershell, TimeoutMs: timeout.Milliseconds()})
		if err == nil {
			result = ProbeResult{ExitCode: int(answer.ExitCode), Log: answer.Log, Warnings: answer.Warnings, TimedOut: answer.TimedOut}
		}
		return err
	})
	return result, err
}

// probeExtra is what a probe may take beyond the script: to dial, and for the
// agent to end the script.
const probeExtra = 30 * time.Second

// Describe asks the machine's agent who it is; errors are those of Probe.
func (g *Gateway) Describe(ctx context.Context, machine string) (*agentrpc.DescribeResponse, error) {
	var about *agentrpc.DescribeResponse
	err := g.reach(ctx, machine, func(agent Agent) (err error) {
		about, err = agent.Describe(ctx, greeting(g.now().UnixMilli()))
		return err
	})
	return about, err
}

// reach calls f with the machine's agent, over its session or, where a
// listening machine has none, a link for this call only.
func (g *Gateway) reach(ctx context.Context, id string, f func(Agent) error) error {
	m := g.fleet.snapshot().byID[id]
	if m == nil { // registered a moment ago, perhaps through another node
		if err := g.fleet.load(ctx, g.db); err != nil {
			return err
		}
		m = g.fleet.snapshot().byID[id]
	}
	if m == nil {
		return resource.Errorf(resource.Unavailable, "No agent is known for '%s'. Check its endpoint and thumbprint.", id)
	}
	s, held := g.seats.of(id).now()
	if s != nil {
		return unreachable(m, f(s.agent))
	}
	if held {
		return resource.Errorf(resource.Unavailable, "The agent of '%s' is connected but gets no work; see the machine's connection for the reason.", m.name)
	}
	if afield, err := g.elsewhere(ctx, id); err != nil || afield {
		return errors.Join(err, unreachable(m, f(afar{g: g, machine: id})))
	}
	if m.address == "" {
		return resource.Errorf(resource.Unavailable, "The agent of '%s' is not connected.", m.name)
	}
	conn, err := agentrpc.Dial(ctx, m.address, agentrpc.ClientTLS(g.identity, agentrpc.Pinned(m.pin)))
	if err != nil {
		return unreachable(m, err)
	}
	link, err := agentrpc.NewLink(conn)
	if err != nil {
		return unreachable(m, err)
	}
	defer func() { _ = link.Close() }()
	if err = f(Remote(link.Client)); err != nil {
		err = errors.Join(err, link.Err()) // the alert of a refusal ends the link
	}
	return unreachable(m, err)
}

func unreachable(m *machine, err error) error {
	if err == nil {
		return nil
	}
	return &resource.Error{Code: resource.Unavailable, Err: err, Message: fmt.Sprintf(why(err), m.name)}
}

// why tells a key that is not the right one apart from an agent that is away
// (abuse 3).
func why(err error) string {
	switch {
	case errors.Is(err, agentrpc.ErrNotPinned):
		return "What listens at the address of '%s' has another key than this machine was registered with. Register the machine anew if its agent was."
	case strings.Contains(err.Error(), "tls: bad certificate"): // the alert has no type of its own
		return "The agent of '%s' does not trust this server's key. Register it with --trust and this server's thumbprint."
	}
	return "The agent of '%s' did not answer"
}
