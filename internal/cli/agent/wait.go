package agent

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

var errWaited = errors.New("the wait timed out")

// waitHealthy waits until the server calls the machine healthy, which it does
// not before the machine proved to have the release that each project wants it
// to have (design 8). A machine that was found unhealthy ends the wait.
func waitHealthy(ctx context.Context, c *console.Console, cl *client.Client, id string, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errWaited)
	defer cancel()
	path, err := cl.Path(ctx, "machines/"+url.PathEscape(id))
	if err != nil {
		return err
	}
	last := ""
	for {
		var doc client.Document
		err := cl.Get(ctx, path, nil, &doc)
		switch {
		case ctx.Err() != nil:
			return waited(ctx, id, last)
		case err != nil && resource.CodeOf(err) != resource.Unavailable:
			return err
		case err == nil:
			status := doc.Text("HealthStatus")
			if now := status + ": " + doc.Text("StatusSummary"); now != last {
				last = now
				c.Notef("%s is %s", console.Printable(doc.Text("Name")), console.Printable(now))
			}
			switch status {
			case "Healthy", "HasWarnings":
				return nil
			case "Unhealthy":
				return resource.Errorf(resource.PreconditionFailed, "%s is unhealthy: %s", id, doc.Text("StatusSummary"))
			}
		}
		if c.Pause(ctx, time.Second) != nil {
			return waited(ctx, id, last)
		}
	}
}

func waited(ctx context.Context, id, last string) error {
	if cause := context.Cause(ctx); !errors.Is(cause, errWaited) {
		return cause
	}
	return &console.ExitError{Code: console.ExitTimeout, Err: fmt.Errorf("%s was not healthy in time (%s)", id, last)}
}
