package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/slipwayhq/slipway/internal/resource"
)

// UnreachableError means that no answer came: what the server did with the
// request is not known. Its code is resource.Unavailable.
type UnreachableError struct {
	URL string
	// MayHaveActed is true for a write that was on its way when the connection
	// broke: the server may have done what was asked.
	MayHaveActed bool
	Err          error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("Cannot reach %s: %s", e.URL, reason(e.Err))
}

// Unwrap gives both the cause and an error that carries the code.
func (e *UnreachableError) Unwrap() []error {
	return []error{e.Err, resource.Errorf(resource.Unavailable, "Cannot reach %s", e.URL)}
}

func (c *Client) unreachable(method string, err error) error {
	var op *net.OpError
	dialed := !errors.As(err, &op) || op.Op != "dial"
	return &UnreachableError{URL: c.URL(), MayHaveActed: method != http.MethodGet && dialed, Err: err}
}

// reason is the innermost plain sentence of a network error.
func reason(err error) string {
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.As(err, &dns):
		return "no such host " + dns.Name
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "the connection was closed before the answer"
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		if strings.Contains(u.Err.Error(), "server gave HTTP response to HTTPS client") {
			return "it speaks plain HTTP; use http:// in the address"
		}
		return u.Err.Error()
	}
	return err.Error()
}

// answer is the error body of the wire contract (octopus-api.md 1.7).
type answer struct {
	ErrorMessage string
	Errors       []string
	Details      json.RawMessage
}

// answerError reads the body of a failed request. The message is the server's
// own, with its Errors as further sentences.
func answerError(resp *http.Response) error {
	var body answer
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || json.Unmarshal(data, &body) != nil {
		body = answer{}
	}
	message := strings.TrimSpace(body.ErrorMessage)
	if len(body.Errors) > 0 {
		message = strings.Join(body.Errors, "\n")
	}
	if message == "" {
		message = fmt.Sprintf("The server answered %s.", resp.Status)
	}
	return &resource.Error{Code: CodeOfStatus(resp.StatusCode), Message: message}
}

// CodeOfStatus is the code for an HTTP status of the API.
func CodeOfStatus(status int) resource.Code {
	switch status {
	case http.StatusUnauthorized:
		return resource.Unauthenticated
	case http.StatusForbidden:
		return resource.Forbidden
	case http.StatusNotFound, http.StatusGone:
		return resource.NotFound
	case http.StatusConflict:
		return resource.Conflict
	case http.StatusPreconditionFailed:
		return resource.PreconditionFailed
	case http.StatusRequestEntityTooLarge:
		return resource.TooLarge
	case http.StatusTooManyRequests:
		return resource.RateLimited
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return resource.Unavailable
	}
	if status < http.StatusInternalServerError {
		return resource.Invalid
	}
	return resource.Internal
}
