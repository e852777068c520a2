package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"connectrpc.com/connect"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/fail"
	"github.com/slipwayhq/slipway/internal/rollout"
)

// missing are the packages that the agent's store does not hold, each once.
// problem is why the attempt cannot start; err is trouble with the link.
func (c *Core) missing(ctx context.Context, agent Agent, list []*agentrpc.Package) (send []*agentrpc.Package, problem string, err error) {
	if len(list) == 0 {
		return nil, "", nil
	}
	ask := &agentrpc.HaveRequest{}
	for _, p := range list {
		if !slices.Contains(ask.Sha256, p.Sha256) {
			ask.Sha256 = append(ask.Sha256, p.Sha256)
		}
	}
	answer, err := agent.Have(ctx, ask)
	if refusal(err) {
		return nil, "the agent's package store refuses: " + reason(err), nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("ask for packages: %w", err)
	}
	for _, p := range list {
		if at := slices.Index(answer.Missing, p.Sha256); at >= 0 {
			answer.Missing = slices.Delete(answer.Missing, at, at+1)
			send = append(send, p)
		}
	}
	return send, "", nil
}

// send puts packages into the agent's store; one that the agent refuses,
// because of its digest for instance, is sent once more (fault 42). end is how
// the attempt ends without having started, nil when it may start; only a full
// disk may be another one later.
func (c *Core) send(ctx context.Context, agent Agent, list []*agentrpc.Package) (end *rollout.End, err error) {
	free, err := c.Transfers.take(ctx)
	if err != nil {
		return nil, err
	}
	defer free()
	fail.Point(fail.Packages)
	for _, p := range list {
		err := c.sendOnce(ctx, agent, p)
		if refusal(err) {
			err = c.sendOnce(ctx, agent, p)
		}
		fail.Point(fail.PackageSent)
		switch {
		case errors.Is(err, blob.ErrNotFound):
			return neverStarts(fmt.Sprintf("the server no longer has package %s %s (%s)", p.PackageId, p.Version, p.Sha256)), nil
		case refusal(err):
			end := notStarted(fmt.Sprintf("the agent refuses package %s %s (%s): %s", p.PackageId, p.Version, p.Sha256, reason(err)))
			end.Retry = connect.CodeOf(err) == connect.CodeResourceExhausted
			return end, nil
		case err != nil:
			return nil, fmt.Errorf("send package %s %s: %w", p.PackageId, p.Version, err)
		}
	}
	return nil, nil
}

func (c *Core) sendOnce(ctx context.Context, agent Agent, p *agentrpc.Package) error {
	content, err := c.Blobs.Open(ctx, p.Sha256)
	if err != nil {
		return fmt.Errorf("open package %s: %w", p.Sha256, err)
	}
	defer func() { _ = content.Close() }()
	return agent.Put(ctx, &agentrpc.PutRequest_Header{
		Sha256: p.Sha256, Size: p.Size, PackageId: p.PackageId, Version: p.Version,
	}, content)
}
