package console

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

// The exit codes of every command.
const (
	ExitSuccess  = 0 // done; a deployment waited for succeeded
	ExitFailed   = 1 // the server refused, or a task waited for failed
	ExitUsage    = 2 // the command line itself is wrong; nothing was sent
	ExitDenied   = 3 // not authorised, or not found
	ExitTimeout  = 4 // the wait ended before the task did; the task goes on
	ExitCanceled = 5 // the task waited for was canceled
	ExitUnknown  = 6 // how it ended is not known
)

// ExitError ends the program with a code. Err may be nil when everything has
// been said already.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// Usagef is an error of the command line itself.
func Usagef(format string, args ...any) error {
	return &ExitError{Code: ExitUsage, Err: fmt.Errorf(format, args...)}
}

// Exit prints what is left to say about err and returns the exit code. It is
// the only place that maps errors to codes.
func (c *Console) Exit(err error) int {
	if err == nil {
		return ExitSuccess
	}
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Err != nil {
		fmt.Fprintf(c.Err, "Error: %s\n", Printable(c.explain(err)))
	}
	return c.code(err)
}

func (c *Console) code(err error) int {
	if exit, ok := errors.AsType[*ExitError](err); ok {
		return exit.Code
	}
	if !c.started {
		return ExitUsage
	}
	var lost *client.UnreachableError
	if errors.Is(err, context.Canceled) || errors.As(err, &lost) && lost.MayHaveActed {
		return ExitUnknown
	}
	switch resource.CodeOf(err) {
	case resource.Unauthenticated, resource.Forbidden, resource.NotFound:
		return ExitDenied
	case resource.Invalid, resource.Conflict, resource.PreconditionFailed, resource.TooLarge,
		resource.RateLimited, resource.Unavailable, resource.Internal:
	}
	return ExitFailed
}

// explain adds to an error what the user can do about it.
func (c *Console) explain(err error) string {
	text := err.Error()
	var lost *client.UnreachableError
	var missing *client.MissingError
	switch {
	case errors.As(err, &lost) && lost.MayHaveActed:
		text += ". It may have done what was asked: look before you try again."
	case errors.As(err, &lost):
		text += ". Is the server running? Set SLIPWAY_URL or --server."
	case errors.As(err, &missing):
		text += DidYouMean(missing.Ref, missing.Names)
	case errors.Is(err, context.Canceled):
		text = "interrupted"
	case resource.CodeOf(err) == resource.Unauthenticated && !strings.Contains(text, "SLIPWAY_API_KEY"):
		text += " Check SLIPWAY_API_KEY or --api-key."
	}
	return text
}
