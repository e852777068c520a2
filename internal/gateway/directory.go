package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// machine is what the gateway needs to know of a machine or worker document.
type machine struct {
	id       string
	name     string
	pin      string // the agent's thumbprint
	disabled bool
	// Exactly one of the two is set: the subscription of a polling agent, or
	// the host:port of a listening one.
	subscription string
	address      string
}

// sameLink says that a link to the one is good for the other.
func (m *machine) sameLink(o *machine) bool {
	//guard:pin-revoked abuse 3: with its pin a machine loses its session; less `m.pin == o.pin && `; seen by ./internal/gateway TestRevocation
	return m.pin == o.pin && m.subscription == o.subscription && m.address == o.address
}

// directory is the fleet as the documents have it, in memory: a stranger's
// handshake costs no database read (abuse 1). A snapshot never changes.
type directory struct{ now atomic.Pointer[fleet] }

type fleet struct {
	byID  map[string]*machine
	byPin map[string][]*machine
}

// snapshot is the fleet as last loaded; empty before the first load.
func (d *directory) snapshot() *fleet {
	if f := d.now.Load(); f != nil {
		return f
	}
	return &fleet{}
}

// load reads the documents anew.
func (d *directory) load(ctx context.Context, db *store.DB) error {
	next := &fleet{byID: map[string]*machine{}, byPin: map[string][]*machine{}}
	var list []store.AgentLink
	err := db.Read(ctx, func(tx *store.Tx) (err error) {
		list, err = store.AgentLinks(tx)
		return err
	})
	if err != nil {
		return fmt.Errorf("load machines: %w", err)
	}
	for i := range list {
		next.add(&list[i])
	}
	d.now.Store(next)
	return nil
}

// add takes a machine in, if an agent with a usable pin is behind it.
func (f *fleet) add(l *store.AgentLink) {
	pin, ok := agentrpc.ParseThumbprint(l.Thumbprint)
	u, err := url.Parse(l.URI)
	if !ok || err != nil || u.Host == "" {
		return
	}
	m := &machine{id: l.ID, name: l.Name, pin: pin, disabled: l.Disabled}
	switch l.Style {
	case resource.StyleActive:
		m.subscription = strings.ToLower(u.Host)
	case resource.StylePassive:
		m.address = address(u)
	default:
		return
	}
	f.byID[m.id] = m
	f.byPin[pin] = append(f.byPin[pin], m)
}

// listenPort is where agents listen unless their Uri says otherwise.
const listenPort = "10933"

func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = listenPort
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// verify lets in the polling agents that a document pins.
func (d *directory) verify(thumbprint string) error {
	for _, m := range d.snapshot().byPin[thumbprint] {
		if m.subscription != "" {
			return nil
		}
	}
	return agentrpc.ErrNotPinned
}

// errUnknown says that no document is meant by an agent that passed the
// handshake.
var errUnknown = errors.New("no machine has this thumbprint and subscription")

// polling finds the machine of a polling agent. The identity is the pair of
// key and subscription (design 6); documents may share either.
func (f *fleet) polling(thumbprint, subscription string) (*machine, error) {
	subscription = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(subscription, "poll://"), "/"))
	var found *machine
	for _, m := range f.byPin[thumbprint] {
		if m.subscription == "" || m.subscription != subscription {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("machines %s and %s have the same thumbprint and subscription", found.id, m.id)
		}
		found = m
	}
	if found == nil {
		return nil, errUnknown
	}
	return found, nil
}
