// Package release is `slipway release`: making releases and sending them to
// environments.
package release
