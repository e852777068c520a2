package documents

import (
	"context"
	"errors"
	"net/netip"
	"regexp"
	"strings"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

// Discovered is what an agent says of itself before it is registered.
type Discovered struct {
	Name       string // its own word for itself; "" for none
	URI        string
	Thumbprint string // proved
}

// errNoProbe says that nothing can ask.
var errNoProbe = resource.Errorf(resource.Unavailable, "This server cannot ask agents who they are. Please run `slipway agent status` on the machine and enter the thumbprint that it prints.")

// discoveriesAtOnce bounds the connections that people make this server open
// (abuse 79).
const discoveriesAtOnce = 4

// Discover asks the agent at an address who it is, and returns a machine that
// is not stored yet. It is a request to an address of the caller's choice: it
// needs the permission to add machines, and host is a bare name or IP address,
// never a URL (abuse 79).
func (s *Service) Discover(ctx context.Context, by app.Caller, space, host string, port int) (*resource.Machine, error) {
	if !authz.CanSomewhere(by.Subject, authz.MachineCreate, space) {
		return nil, app.Denied(authz.MachineCreate)
	}
	host, ok := bareHost(host)
	if !ok || port < 1 || port > 65535 {
		return nil, resource.Errorf(resource.Invalid, "Please give the host (a name or an IP address and nothing else) and the port (such as 10933) of the agent.")
	}
	if s.cfg.Probe == nil {
		return nil, errNoProbe
	}
	select {
	case s.discoveries <- struct{}{}:
		defer func() { <-s.discoveries }()
	default:
		return nil, resource.Errorf(resource.RateLimited, "Other agents are being looked for right now. Please try again in a few seconds.")
	}
	found, err := s.cfg.Probe(ctx, host, port)
	if err != nil {
		if _, ok := errors.AsType[*resource.Error](err); ok {
			return nil, err
		}
		return nil, &resource.Error{Code: resource.Invalid, Err: err, Message: "No agent answers there. Please check the address, and that the agent is running and listening."}
	}
	m := &resource.Machine{}
	m.Name, m.SpaceID = found.Name, space
	if resource.CheckName("machine", m.Name, resource.MaxName) != nil {
		m.Name = host
	}
	m.Endpoint = resource.Endpoint{CommunicationStyle: resource.StylePassive, URI: found.URI, Thumbprint: found.Thumbprint}
	m.SetDefaults(nil)
	return m, nil
}

// hostName is a name as DNS has it. Its last label begins with a letter, so
// that no other spelling of an IP address is one.
var hostName = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?$`)

// bareHost reads a host name or an IP address of one machine, the latter with
// or without brackets.
func bareHost(text string) (host string, ok bool) {
	text = strings.TrimSpace(text)
	inner, bracketed := strings.CutPrefix(text, "[")
	if bracketed {
		if inner, ok = strings.CutSuffix(inner, "]"); !ok {
			return "", false
		}
	}
	if ip, err := netip.ParseAddr(inner); err == nil {
		ip = ip.Unmap()
		return ip.String(), ip.Zone() == "" && !ip.IsUnspecified() && !ip.IsMulticast() && ip != netip.AddrFrom4([4]byte{255, 255, 255, 255}) && (!bracketed || ip.Is6())
	}
	return text, !bracketed && len(text) <= 253 && hostName.MatchString(text)
}
