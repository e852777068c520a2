// Package contract checks Slipway's wire contract from outside: the official
// Go SDK of Octopus Deploy, unmodified, drives a real server and real agents.
// It is a module of its own so that nothing of it gets into the product.
package contract

// The SDK's own end-to-end tests are run too; see upstream_test.go.
import _ "github.com/OctopusDeploy/go-octopusdeploy/v2/test/e2e"
