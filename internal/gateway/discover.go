package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/resource"
)

// Discovered is a listening agent that nobody has registered yet. Hostname is
// its own word, the thumbprint is proved.
type Discovered struct {
	Address    string // host:port
	Thumbprint string
	Hostname   string
}

// discoverWithin bounds a discovery from the dial to the agent's answer.
const discoverWithin = 10 * time.Second

// Discover asks who listens at an address of somebody's choice (abuse 79): one
// connection, of which the other side sees a handshake with this server's
// certificate and, once it has spoken the agents' protocol there, a Describe.
// Any key is let in, this once; nothing is kept, and nothing that the other
// side sent beyond its name gets into the answer or an error. Errors are of
// code Invalid and for people.
func (g *Gateway) Discover(ctx context.Context, host string, port int) (*Discovered, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, discoverWithin, errNoAnswer)
	defer cancel()
	address := net.JoinHostPort(host, strconv.Itoa(port))
	conn, err := agentrpc.Dial(ctx, address, agentrpc.ClientTLS(g.identity, func(string) error { return nil }))
	if err != nil {
		return nil, noAgent(address, err)
	}
	link, err := agentrpc.NewLink(conn)
	if err != nil {
		return nil, noAgent(address, err)
	}
	defer func() { _ = link.Close() }()
	if link.Thumbprint() == g.identity.Thumbprint() {
		return nil, undiscovered(nil, "%s is this server's own port for agents that poll. Give the address on which an agent listens.", address)
	}
	about, err := Remote(link.Client).Describe(ctx, greeting(g.now().UnixMilli()))
	if err != nil {
		return nil, undiscovered(err, "An agent with the thumbprint %s listens at %s, but it does not answer this server. Register it with --trust %s, so that it takes orders from here.",
			link.Thumbprint(), address, g.identity.Thumbprint())
	}
	return &Discovered{Address: address, Thumbprint: link.Thumbprint(), Hostname: clip(about.Hostname, maxHostname)}, nil
}

// maxHostname is how many bytes of an agent's own name are believed (RFC 1035).
const maxHostname = 253

func noAgent(address string, err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return undiscovered(err, "Nothing listens at %s. Check the address, that the agent runs, and that no firewall is between.", address)
	}
	return undiscovered(err, "What listens at %s is no Slipway agent. Check the port; agents listen on %s unless told otherwise.", address, listenPort)
}

func undiscovered(cause error, format string, args ...any) error {
	return &resource.Error{Code: resource.Invalid, Message: fmt.Sprintf(format, args...), Err: cause}
}
