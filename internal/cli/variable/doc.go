// Package variable is `slipway variable`: the variables of a project or of a
// library set.
package variable
