// Package agent is `slipway agent` and `slipway agent-token`: making a machine
// a deployment target, and being one.
package agent
