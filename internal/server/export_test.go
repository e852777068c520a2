package server

import (
	"net"

	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/store"
)

// MetricsAddr is where /metrics is served.
func (s *Server) MetricsAddr() net.Addr { return s.metrics.Addr() }

// LogBlobs are finished logs in a blob store.
func LogBlobs(b blob.Store) store.LogArchive { return logBlobs{b} }
