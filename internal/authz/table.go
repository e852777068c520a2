package authz

import (
	"strings"
	"unicode"

	"github.com/slipwayhq/slipway/internal/resource"
)

var permissions = table()

// table holds every permission with the levels at which it can be granted:
// those that the built-in roles are made of.
func table() map[Permission]About {
	all := map[Permission]About{}
	for _, name := range resource.SystemPermissions() {
		p := Permission(name)
		all[p] = About{Permission: p, Description: words(name), System: true}
	}
	for _, name := range resource.SpacePermissions() {
		p := Permission(name)
		all[p] = About{Permission: p, Description: words(name), System: all[p].System, Space: true}
	}
	return all
}

// words is a permission as people say it: "MachinePolicyView" is "View machine
// policy".
func words(name string) string {
	var list []string
	for i, r := range name {
		if unicode.IsUpper(r) || i == 0 {
			list = append(list, "")
		}
		list[len(list)-1] += string(r)
	}
	last := len(list) - 1
	switch verb := list[last]; verb {
	case "View", "Create", "Edit", "Delete", "Push", "Cancel", "Submit", "Download", "Administer", "Invite", "Import":
		return verb + " " + strings.ToLower(strings.Join(list[:last], " "))
	}
	return list[0] + " " + strings.ToLower(strings.Join(list[1:], " "))
}
