// Package process is `slipway process`: a project's steps, as a file or one by
// one.
package process
