package variable

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

// scope maps a dimension's field to its ids, sorted, with no empty ones.
type scope map[string][]string

func scopeOf(item client.Document) scope {
	var s scope
	if json.Unmarshal(item["Scope"], &s) != nil {
		return scope{}
	}
	for field, ids := range s {
		if len(ids) == 0 {
			delete(s, field)
			continue
		}
		slices.Sort(ids)
	}
	return s
}

func (s scope) equal(other scope) bool {
	if len(s) != len(other) {
		return false
	}
	for field, ids := range s {
		if !slices.Equal(ids, other[field]) {
			return false
		}
	}
	return true
}

// parseScope reads "environment=Production,Staging" specs.
func (n scopeNames) parseScope(specs []string) (scope, error) {
	s := make(scope)
	for _, spec := range specs {
		flag, values, ok := strings.Cut(spec, "=")
		if !ok || values == "" {
			return nil, console.Usagef("--scope %q must have the form environment=Production", spec)
		}
		field, err := fieldOf(strings.TrimSpace(flag))
		if err != nil {
			return nil, err
		}
		for value := range strings.SplitSeq(values, ",") {
			id, err := n.id(field, flag, strings.TrimSpace(value))
			if err != nil {
				return nil, err
			}
			if !slices.Contains(s[field], id) {
				s[field] = append(s[field], id)
			}
		}
		slices.Sort(s[field])
	}
	return s, nil
}

func fieldOf(flag string) (string, error) {
	known := make([]string, 0, len(dimensions))
	for _, d := range dimensions {
		if strings.EqualFold(flag, d.flag) || strings.EqualFold(flag, d.field) {
			return d.field, nil
		}
		known = append(known, d.flag)
	}
	return "", console.Usagef("a variable cannot be scoped to %q.%s", flag, console.DidYouMean(flag, known))
}

// id finds what a name means; a role or a tag is its own id and may be new.
func (n scopeNames) id(field, flag, value string) (string, error) {
	var names []string
	for id, name := range n[field] {
		if id == value || strings.EqualFold(name, value) {
			return id, nil
		}
		names = append(names, name)
	}
	if field == "Role" || field == "TenantTag" {
		return value, nil
	}
	slices.Sort(names)
	return "", &resource.Error{
		Code:    resource.NotFound,
		Message: fmt.Sprintf("There is no %s %q.%s", flag, value, console.DidYouMean(value, names)),
	}
}

// show writes a scope for people: "environment=Production; role=web".
func (n scopeNames) show(s scope) string {
	var parts []string
	for _, d := range dimensions {
		ids := s[d.field]
		if len(ids) == 0 {
			continue
		}
		names := make([]string, len(ids))
		for i, id := range ids {
			if names[i] = n[d.field][id]; names[i] == "" {
				names[i] = id
			}
		}
		parts = append(parts, d.flag+"="+strings.Join(names, ","))
	}
	return strings.Join(parts, "; ")
}
