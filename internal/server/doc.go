// Package server wires the server's parts from one Config: store, engine,
// gateway, fleet and API. It holds no rules of its own.
package server
