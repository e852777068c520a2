// Package deployment is `slipway deployment`: what was sent where.
package deployment
