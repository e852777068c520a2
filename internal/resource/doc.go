// Package resource holds the documents that people edit (Environment,
// Project, Machine, Release …) as plain structs, and the errors and secrets
// that cross every layer. It imports nothing of ours and is open to all.
package resource
