package api

import (
	"reflect"

	"github.com/slipwayhq/slipway/internal/resource"
)

// wireMembers is the struct of what only the wire has of a kind; nil for
// nothing. Whoever adds a Member to an Item says so here.
func wireMembers(k *resource.Kind) reflect.Type {
	switch k {
	case resource.UserKind:
		return reflect.TypeFor[userMembers]()
	}
	return nil
}
