// Package artifact is the noun `artifact`: the files that scripts handed in.
package artifact
