// Package interruption is the noun `interruption`: the questions that tasks
// wait on, and the answers to them (octopus-api.md 2.21).
package interruption
