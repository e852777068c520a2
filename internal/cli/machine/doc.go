// Package machine is `slipway machine`: the fleet as the server sees it.
package machine
