package resource

import (
	"errors"
	"fmt"
)

// Code says what kind of failure an Error is. The HTTP status of each is
// mapped in exactly one place, in package api.
type Code string

// The codes, and when each applies.
const (
	Invalid            Code = "invalid"             // the request breaks a rule; Message says which
	Unauthenticated    Code = "unauthenticated"     // nobody, or an unknown key
	Forbidden          Code = "forbidden"           // somebody without the permission
	NotFound           Code = "not_found"           // no such document, or not for this caller
	Conflict           Code = "conflict"            // a lost optimistic lock, or an existing thing
	PreconditionFailed Code = "precondition_failed" // the state does not allow it now
	TooLarge           Code = "too_large"           // a size, depth or count over its limit
	RateLimited        Code = "rate_limited"        // later
	Unavailable        Code = "unavailable"         // a dependency (disk, database, agent) does not answer
	Internal           Code = "internal"            // a defect; its text never reaches a user
)

// Error is the one error type whose text reaches a user. Anything else is
// internal: logged with its cause, shown without it.
type Error struct {
	Code    Code
	Message string // a sentence for a person that says what to do next
	Field   string // the document's field, PascalCase, where one is to blame
	Err     error  // the cause, for the log
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Message, e.Err)
	}
	return e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of the code with a formatted message.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Missing is the NotFound error in the wire contract's own words
// (octopus-api.md 1.7).
func Missing(what string) *Error {
	return Errorf(NotFound, "The resource '%s' was not found.", what)
}

// CodeOf is the code of the first Error in the chain, Internal for any other
// error and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
