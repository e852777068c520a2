package api

import (
	"net/http"
	"time"
)

// Extend gives the request and its answer at least d more, from now: for
// handlers that move many bytes and stop when nothing moves any more.
func (c *Call) Extend(d time.Duration) {
	control := http.NewResponseController(c.writer)
	until := time.Now().Add(d) //nolint:forbidigo // the deadline of a socket is in real time, whatever clock the server was given
	// A connection without deadlines (a test's recorder) needs no more time.
	_ = control.SetReadDeadline(until)
	_ = control.SetWriteDeadline(until.Add(d))
}
