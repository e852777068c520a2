// Package user is `slipway user` and `slipway api-key`: who may do things, and
// with what.
package user
