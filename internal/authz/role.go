package authz

import (
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Granted are the permissions of a role at a level. What exists at another
// level only, or not at all, is dropped: a role never gets stronger by a name
// it should not have.
func Granted(r *resource.UserRole, system bool) Set {
	names := r.GrantedSpacePermissions
	if system {
		names = r.GrantedSystemPermissions
	}
	set := Set{}
	for _, name := range names {
		p := Permission(name)
		if about, ok := permissions[p]; ok && (system && about.System || !system && about.Space) {
			set[p] = struct{}{}
		}
	}
	return set
}

// BuiltInRole finds a built-in role by its id, in any case. Built-in roles
// count as this program has them, whatever is stored (abuse 38).
func BuiltInRole(id string) (*resource.UserRole, bool) {
	for _, r := range resource.BuiltInRoles() {
		if strings.EqualFold(r.ID, id) {
			return &r, true
		}
	}
	return nil, false
}
