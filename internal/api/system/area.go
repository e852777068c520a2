// Package system is the part of the API about the server itself: its audit,
// status and settings, and the lists of what Slipway does not have
// (octopus-api.md 2.19-2.23).
package system

import (
	"slices"
	"time"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/documents"
)

// Config is what Area needs. All of it may be empty for an API that is only
// described.
type Config struct {
	Docs    *documents.Service
	Version string // of the wire contract
	Started time.Time
	Now     func() time.Time
	// Thumbprint is of the certificate with which the server meets its agents.
	Thumbprint string
}

type area struct{ Config }

// Area is the routes of the server.
func Area(cfg Config) api.Area {
	a := &area{cfg}
	return api.Area{Name: "System", Routes: slices.Concat(a.events(), a.status(), a.settings(), a.nodes(), a.certificates(), absent())}
}
