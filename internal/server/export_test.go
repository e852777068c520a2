package server

import "net"

// MetricsAddr is where /metrics is served.
func (s *Server) MetricsAddr() net.Addr { return s.metrics.Addr() }
