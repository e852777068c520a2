// Package app holds what people do: its subpackages are the use cases of one
// area each. A use case authorises, validates, and changes the store in one
// transaction that also holds the audit row. This package has what all of them
// share.
package app

import (
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

// Caller is who asks, as authorisation and the audit row need him. The zero
// Caller is nobody.
type Caller struct {
	authz.Subject
	Via       string // "API key APIKeys-1", "Session"
	IP        string
	UserAgent string
}

// Signed says whether the caller is somebody.
func (c Caller) Signed() bool { return c.UserID != "" }

// Allow refuses the caller unless he may do it there. What he may not even see
// is answered by the use case, as missing.
func Allow(c Caller, p authz.Permission, at authz.Scope) error {
	//guard:allow I12: who may not do it changes nothing; less `authz.Can(c.Subject, p, at)`, with `authz.Can(c.Subject, authz.SignedIn, at)`; seen by ./internal/api TestRefusedInTheirScope
	if authz.Can(c.Subject, p, at) {
		return nil
	}
	return Denied(p)
}

// Denied is the answer to somebody without a permission.
func Denied(p authz.Permission) error {
	return resource.Errorf(resource.Forbidden,
		"You do not have permission to perform this action. Please contact your administrator. Missing permission: %s", p)
}
