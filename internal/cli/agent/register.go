package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/kind"
	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

// The ways a machine and its server meet, in the words of the wire contract.
const (
	passive = "TentaclePassive" // the machine listens
	active  = "TentacleActive"  // the machine polls
)

// registration are the flags of `agent register`.
type registration struct {
	home, name, style, hostname, address string
	applications, policy, token, trust   string
	environments, roles                  []string
	port                                 int
	force, wait                          bool
	timeout                              time.Duration
}

func register(c *console.Console) *cobra.Command {
	r := &registration{}
	cmd := &cobra.Command{
		Use: "register", Short: "Make this machine a deployment target",
		Long: "Make this machine a deployment target: make its key, write its configuration and tell the server. It\n" +
			"proves its right to with an API key, or with a one-time token from `slipway agent-token create` in\n" +
			"--token or SLIPWAY_AGENT_TOKEN. Start the agent with `slipway agent run`, or at each boot with\n" +
			"`slipway agent install`.\n\n" +
			"A name that is registered already is refused. With --force this machine takes the name over, and the\n" +
			"key that had it is revoked at once.",
		Example: "  slipway agent register --environment Production --role web\n" +
			"  slipway agent register --environment Production --role web --trust 7F…\n" +
			"  slipway agent register --token REG-… --trust 7F… --comms-style TentacleActive",
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd.Context(), c) },
	}
	homeFlag(cmd, &r.home)
	f := cmd.Flags()
	f.StringVar(&r.applications, "app", "", "folder that packages are installed in (default: the system's own, or below --home)")
	f.StringVar(&r.name, "name", "", "name of the machine (default: its host name)")
	f.StringArrayVarP(&r.environments, "environment", "e", nil, "environment the machine belongs to (repeat)")
	f.StringArrayVar(&r.roles, "role", nil, "role of the machine (repeat)")
	f.StringVar(&r.policy, "policy", "", "machine policy (default: the default one)")
	f.StringVar(&r.trust, "trust", "", "thumbprint of the server (`slipway server thumbprint` shows it); only it may give orders (default with an API key: what the server says over HTTPS or loopback)")
	f.StringVar(&r.style, "comms-style", passive, "TentaclePassive: the server connects to this machine; TentacleActive: it connects to the server")
	f.StringVar(&r.hostname, "public-hostname", "", "name or address the server reaches this machine by (default: its host name)")
	f.IntVar(&r.port, "port", agent.DefaultListenPort, "port to listen on")
	f.StringVar(&r.address, "server-comms-address", "", "where the machine connects to, host:port (default: the server's host, port "+strconv.Itoa(agent.DefaultServerPort)+")")
	f.StringVar(&r.token, "token", "", "one-time token, in place of an API key (or SLIPWAY_AGENT_TOKEN)")
	f.BoolVar(&r.force, "force", false, "take over a name or a home that is registered already")
	f.BoolVar(&r.wait, "wait", false, "wait until the machine is healthy: it has the current release of every project")
	f.DurationVar(&r.timeout, "wait-timeout", 30*time.Minute, "stop waiting after this long; exit code 4")
	return cmd
}

func (r *registration) run(ctx context.Context, c *console.Console) error {
	if err := r.complete(c); err != nil {
		return err
	}
	cl, err := r.connect(c)
	if err != nil {
		return err
	}
	if err := r.prepareHome(); err != nil {
		return err
	}
	if err := r.find(ctx, cl); err != nil {
		return err
	}
	if r.trust == "" {
		if r.trust, err = serverThumbprint(ctx, cl); err != nil {
			return err
		}
		c.Notef("This machine will take orders from the server with the thumbprint %s only.", console.Printable(r.trust))
	}
	identity, err := agent.Identity(r.home, r.name, c.Now(), rand.Reader)
	if err != nil {
		return err
	}
	config, err := r.config(cl.URL())
	if err != nil {
		return err
	}
	if err := config.Save(r.home); err != nil {
		return err
	}
	doc, err := r.tell(ctx, cl, r.endpoint(config, identity.Thumbprint()))
	if err != nil {
		return errors.Join(err, r.forget(err))
	}
	return r.done(ctx, c, cl, doc)
}

// complete fills in what this machine knows about itself.
func (r *registration) complete(c *console.Console) error {
	host, err := os.Hostname()
	if err != nil && (r.name == "" || r.hostname == "") {
		return fmt.Errorf("find this machine's name: %w", err)
	}
	for _, field := range []*string{&r.name, &r.hostname} {
		if *field == "" {
			*field = host
		}
	}
	if r.token == "" {
		r.token = c.Env("SLIPWAY_AGENT_TOKEN")
	}
	switch {
	case r.style != passive && r.style != active:
		return console.Usagef("--comms-style must be %s or %s, not %q", passive, active, r.style)
	case r.token == "" && (len(r.environments) == 0 || len(r.roles) == 0):
		return console.Usagef("name at least one --environment and one --role; only a one-time token brings its own")
	case r.port < 1 || r.port > 65535:
		return console.Usagef("--port must be a number from 1 to 65535")
	}
	r.trust = strings.ToUpper(strings.NewReplacer(":", "", " ", "", "-", "").Replace(r.trust))
	return nil
}

// connect makes the client: with the token where there is one, else with the
// API key.
func (r *registration) connect(c *console.Console) (*client.Client, error) {
	if r.token == "" {
		return c.Client()
	}
	target, err := c.Target()
	if err != nil {
		return nil, err
	}
	if r.wait && target.APIKey == "" {
		return nil, console.Usagef("--wait needs an API key: a one-time token may register a machine and nothing else")
	}
	if r.trust == "" {
		return nil, console.Usagef("--trust is missing: with a one-time token the server's thumbprint has to come from you")
	}
	return c.Connect(console.Target{Server: target.Server, Space: target.Space, Bearer: r.token})
}

// prepareHome refuses a home that has an agent already; with --force its key
// goes, since it is to be revoked.
func (r *registration) prepareHome() error {
	old, err := agent.LoadConfig(r.home)
	switch {
	case resource.CodeOf(err) == resource.NotFound:
		return nil
	case !r.force && err == nil:
		return resource.Errorf(resource.Conflict, "%s is the home of the agent %q already. Add --force to register it anew, with a new key.", r.home, old.Name)
	case !r.force:
		return err
	}
	return removeIdentity(r.home)
}

// config is what the agent needs to know.
func (r *registration) config(server string) (*agent.Config, error) {
	applications := r.applications
	if applications == "" {
		var err error
		if applications, err = defaultApplications(r.home); err != nil {
			return nil, err
		}
	}
	config := &agent.Config{Name: r.name, ServerThumbprints: []string{r.trust}, ApplicationsDir: applications}
	if r.style == passive {
		config.Mode, config.Listen = agent.Listening, ":"+strconv.Itoa(r.port)
		return config, config.Validate()
	}
	address := r.address
	if address == "" {
		address = server
	}
	address, err := agent.PollingAddress(address)
	if err != nil {
		return nil, err
	}
	config.Mode, config.Servers, config.SubscriptionID = agent.Polling, []string{address}, agent.NewSubscriptionID(rand.Text)
	return config, config.Validate()
}

func (r *registration) endpoint(config *agent.Config, thumbprint string) map[string]any {
	uri := config.SubscriptionID
	if r.style == passive {
		uri = "https://" + net.JoinHostPort(r.hostname, strconv.Itoa(r.port)) + "/"
	}
	return map[string]any{"CommunicationStyle": r.style, "Uri": uri, "Thumbprint": thumbprint}
}

// find refuses a name that is taken before anything is written here.
func (r *registration) find(ctx context.Context, cl *client.Client) error {
	if r.token != "" || r.force {
		return nil // the server judges a token, and --force replaces
	}
	doc, err := kind.Machine().Find(ctx, cl, r.name)
	switch {
	case resource.CodeOf(err) == resource.NotFound:
		return nil
	case err != nil:
		return err
	}
	return resource.Errorf(resource.Conflict, "A machine named %q is registered already (%s). Choose another --name, or take it over with --force, which revokes its key.",
		doc.Text("Name"), doc.ID())
}

// tell registers the machine at the server.
func (r *registration) tell(ctx context.Context, cl *client.Client, endpoint map[string]any) (client.Document, error) {
	var doc client.Document
	if r.token != "" {
		body := map[string]any{"Name": r.name, "Endpoint": endpoint, "Environments": r.environments, "Roles": r.roles}
		return doc, cl.Post(ctx, "/api/machines/register", body, &doc)
	}
	fields, err := r.fields(ctx, cl, endpoint)
	if err != nil {
		return nil, err
	}
	path, err := cl.Path(ctx, "machines")
	if err != nil {
		return nil, err
	}
	old, err := kind.Machine().Find(ctx, cl, r.name)
	switch {
	case resource.CodeOf(err) == resource.NotFound:
		return doc, cl.Post(ctx, path, fields, &doc)
	case err != nil:
		return nil, err
	}
	for field, value := range fields {
		if err := old.Set(field, value); err != nil {
			return nil, err
		}
	}
	return doc, cl.Put(ctx, path+"/"+url.PathEscape(old.ID()), old, &doc)
}

func (r *registration) fields(ctx context.Context, cl *client.Client, endpoint map[string]any) (map[string]any, error) {
	environments, err := kind.Environment().IDs(ctx, cl, r.environments)
	if err != nil {
		return nil, err
	}
	fields := map[string]any{
		"Name": r.name, "EnvironmentIds": environments, "Roles": r.roles, "Endpoint": endpoint,
		"Uri": endpoint["Uri"], "Thumbprint": endpoint["Thumbprint"],
	}
	if r.policy != "" {
		policy, err := kind.MachinePolicy().Find(ctx, cl, r.policy)
		if err != nil {
			return nil, err
		}
		fields["MachinePolicyId"] = policy.ID()
	}
	return fields, nil
}

// forget takes the configuration back when the server refused; when its answer
// was lost, the machine may be registered, and it stays.
func (r *registration) forget(why error) error {
	var lost *client.UnreachableError
	if errors.As(why, &lost) && lost.MayHaveActed {
		return nil
	}
	return removeConfig(r.home)
}

func (r *registration) done(ctx context.Context, c *console.Console, cl *client.Client, doc client.Document) error {
	if r.wait {
		if r.token != "" {
			var err error
			if cl, err = c.Client(); err != nil {
				return err
			}
		}
		if err := waitHealthy(ctx, c, cl, doc.ID(), r.timeout); err != nil {
			return err
		}
	}
	return c.Print(console.Result{
		Lines: []string{fmt.Sprintf("Registered %s (%s).", doc.Text("Name"), doc.ID())},
		Basic: []string{doc.ID()}, JSON: doc,
	})
}

// serverThumbprint asks the server for its thumbprint over the API: whoever
// trusts the API's address with his key may trust it with this. Where anybody
// on the way could answer in its place, it is not asked.
func serverThumbprint(ctx context.Context, cl *client.Client) (string, error) {
	if !authentic(cl.URL()) {
		return "", console.Usagef("--trust is missing: %s is plain HTTP, so the server's thumbprint has to come from you; `slipway server thumbprint` on the server shows it", cl.URL())
	}
	var certificate struct{ Thumbprint string }
	err := cl.Get(ctx, "/api/configuration/certificates/certificate-global", nil, &certificate)
	if resource.CodeOf(err) == resource.NotFound || err == nil && certificate.Thumbprint == "" {
		return "", console.Usagef("--trust is missing: `slipway server thumbprint` on the server shows what to give")
	}
	return strings.ToUpper(certificate.Thumbprint), err
}

// authentic says whether what comes from the address comes from the server:
// over TLS, or without leaving this machine.
func authentic(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(u.Hostname(), "localhost")
}
