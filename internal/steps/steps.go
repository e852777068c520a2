// Package steps is the registry of action types: their properties and
// validation, where they run, and what proves their success. Plan, preview,
// api and pages read it; nothing else knows an action type by name.
package steps

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Type is one action type.
type Type struct {
	Name        string // Octopus.Script
	Title       string // for people
	Description string
	Category    string
	// Receipt: success needs a receipt of the installed package (design P1).
	Receipt bool
	// NeedsPackage: the action has a primary package.
	NeedsPackage bool
	// OnServer: the type may run on the server's worker.
	OnServer bool
	// Asks: the type runs nothing; it waits for a person's answer.
	Asks bool
	// Validate checks the properties; the error says which one and what to set.
	Validate func(properties map[string]string) error
}

// Lookup finds a type by its exact name.
func Lookup(name string) (*Type, bool) {
	t, ok := types()[name]
	return t, ok
}

// All are the types, by name.
func All() []*Type {
	return slices.SortedFunc(maps.Values(types()), func(a, b *Type) int { return strings.Compare(a.Name, b.Name) })
}

func types() map[string]*Type {
	return map[string]*Type{script.Name: script, deployPackage.Name: deployPackage, manual.Name: manual}
}

// Property names that more than one type reads (octopus-api.md 2.6).
const (
	TargetRoles         = "Octopus.Action.TargetRoles"
	MaxParallelism      = "Octopus.Action.MaxParallelism"
	ConditionExpression = "Octopus.Step.ConditionVariableExpression"
	ActionExpression    = "Octopus.Action.ConditionVariableExpression"
	RunOnServer         = "Octopus.Action.RunOnServer"
	RunOnce             = "Slipway.Action.RunOnce"
)

// Flag reads a boolean property; anything but true, in any case, is false.
func Flag(properties map[string]string, name string) bool {
	return strings.EqualFold(strings.TrimSpace(properties[name]), "true")
}

// List reads a comma-separated property without its empty parts.
func List(text string) []string {
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

func oneOf(properties map[string]string, name string, allowed ...string) error {
	if slices.Contains(allowed, properties[name]) {
		return nil
	}
	return fmt.Errorf("%s is %q; set it to one of %s", name, properties[name], strings.Join(allowed, ", "))
}
