package api

import (
	"errors"
	"net/http"

	"github.com/slipwayhq/slipway/internal/resource"
)

// ErrorBody is the body of every answer that is no success (octopus-api.md
// 1.7). A 404 has no Errors: clients tell "missing" from "broken" by that.
type ErrorBody struct {
	ErrorMessage    string
	Errors          []string `json:",omitempty"`
	ParsedHelpLinks []string
	HelpText        string `json:",omitempty"`
	FullException   string `json:",omitempty"`
}

// StatusOf maps the codes to HTTP, here and nowhere else.
func StatusOf(code resource.Code) int {
	switch code {
	case resource.Invalid, resource.PreconditionFailed:
		return http.StatusBadRequest
	case resource.Unauthenticated:
		return http.StatusUnauthorized
	case resource.Forbidden:
		return http.StatusForbidden
	case resource.NotFound:
		return http.StatusNotFound
	case resource.Conflict:
		return http.StatusConflict
	case resource.TooLarge:
		return http.StatusRequestEntityTooLarge
	case resource.RateLimited:
		return http.StatusTooManyRequests
	case resource.Unavailable:
		return http.StatusServiceUnavailable
	case resource.Internal:
	}
	return http.StatusInternalServerError
}

const problem = "There was a problem with your request."

// bodyOf words an error for the client. What is no *resource.Error is a
// defect: the client gets the id under which the log has the cause.
func bodyOf(err error, id string) (int, ErrorBody) {
	var known *resource.Error
	if !errors.As(err, &known) || known.Code == resource.Internal {
		return http.StatusInternalServerError, ErrorBody{
			ErrorMessage:    "Something went wrong on the server. Its log has the details under the id " + id + ".",
			ParsedHelpLinks: []string{},
			FullException:   "See the server's log, id " + id + ".",
		}
	}
	body := ErrorBody{ErrorMessage: known.Message, ParsedHelpLinks: []string{}}
	status := StatusOf(known.Code)
	switch status {
	case http.StatusBadRequest:
		body.ErrorMessage, body.Errors = problem, messages(err)
	case http.StatusConflict, http.StatusRequestEntityTooLarge:
		body.Errors = messages(err)
	}
	return status, body
}

// messages are the sentences of every *resource.Error that err joins.
func messages(err error) []string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var list []string
		for _, e := range joined.Unwrap() {
			list = append(list, messages(e)...)
		}
		return list
	}
	if known, ok := errors.AsType[*resource.Error](err); ok {
		return []string{known.Message}
	}
	return nil
}

// errMethod is answered with 405.
var errMethod = errors.New("method not allowed")
