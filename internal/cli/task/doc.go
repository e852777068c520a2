// Package task is `slipway task`, and the waiting for tasks that other
// commands offer with --wait: a live tree of steps and machines in a terminal,
// plain lines elsewhere, and an exit code that says how it ended.
package task
