// Package variables decides which of several variables of one name applies on
// a machine, in a step, of a deployment, and says why (configuration.md 2). It
// is pure, and it never evaluates or opens a value: templates stay templates,
// secrets stay references.
package variables
