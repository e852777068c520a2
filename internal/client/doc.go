// Package client speaks Slipway's public API (octopus-api.md) from Go. It is
// what the command line and the demo use, and they use nothing else (P8).
//
// A Client is safe for concurrent use. Every call takes a context and honours
// it. Failures are *resource.Error with the code of the answer's status, or
// *UnreachableError where there was no answer. Only GETs are retried, and only
// when the connection itself failed: a request that may have changed something
// is sent exactly once (P2).
package client
