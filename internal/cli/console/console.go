package console

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/client"
	"github.com/slipwayhq/slipway/internal/resource"
)

// DefaultServer is where `slipway server` listens when nothing else is said.
const DefaultServer = "http://127.0.0.1:8080"

// Terminal is what the program knows about the terminal it may run in.
type Terminal interface {
	// IsTerminal says whether the stream (an *os.File, or not) is a terminal.
	IsTerminal(stream any) bool
	// Size is the terminal's width and height in characters; ok is false
	// where there is none.
	Size() (width, height int, ok bool)
	// ReadSecret reads a line without showing it.
	ReadSecret() (string, error)
}

// Console is one run of the program. The exported fields are set by whoever
// starts it and are not changed afterwards, except by Bind's flags.
type Console struct {
	In       io.Reader
	Out, Err io.Writer
	Terminal Terminal
	Env      func(name string) string
	Now      func() time.Time
	Pause    func(ctx context.Context, d time.Duration) error
	// ConfigDir holds config.json of `slipway login`; empty means none.
	ConfigDir string
	// Version is the program's own version.
	Version string

	Server, APIKey, Space string
	Format                Format
	Quiet, NoColor        bool

	started bool
}

// Bind declares the global flags on the root command.
func (c *Console) Bind(root *cobra.Command) {
	c.Format = Table
	flags := root.PersistentFlags()
	flags.StringVar(&c.Server, "server", "", "address of the server (or SLIPWAY_URL, OCTOPUS_URL)")
	flags.StringVar(&c.APIKey, "api-key", "", "API key; prefer the environment, where it shows in no process list (or SLIPWAY_API_KEY, OCTOPUS_API_KEY)")
	flags.StringVar(&c.Space, "space", "", "name or id of the space (or SLIPWAY_SPACE, OCTOPUS_SPACE; default: the default space)")
	flags.VarP(&c.Format, "format", "f", "how to print results: table, json or basic")
	flags.BoolVarP(&c.Quiet, "quiet", "q", false, "print results and errors only")
	flags.BoolVar(&c.NoColor, "no-color", false, "never use colours (also with NO_COLOR)")
}

// Target is a server and how to speak to it.
type Target struct {
	Server, APIKey, Space string
	// Bearer is a one-time token, where there is no API key.
	Bearer string `json:"-"`
}

// Target is where this run's flags, environment and saved login lead, in that
// order. A saved key is used only for the server it was saved for.
func (c *Console) Target() (Target, error) {
	saved, err := c.saved()
	if err != nil {
		return Target{}, err
	}
	t := Target{
		Server: first(c.Server, c.Env("SLIPWAY_URL"), c.Env("OCTOPUS_URL")),
		APIKey: first(c.APIKey, c.Env("SLIPWAY_API_KEY"), c.Env("OCTOPUS_API_KEY")),
		Space:  first(c.Space, c.Env("SLIPWAY_SPACE"), c.Env("OCTOPUS_SPACE")),
	}
	if t.Server == "" {
		t.Server = first(saved.Server, DefaultServer)
	}
	if sameServer(t.Server, saved.Server) {
		t.APIKey = first(t.APIKey, saved.APIKey)
		t.Space = first(t.Space, saved.Space)
	}
	return t, nil
}

// Client connects to the target. The error of a missing key says how to set
// one; nothing is sent yet.
func (c *Console) Client() (*client.Client, error) {
	target, err := c.Target()
	if err != nil {
		return nil, err
	}
	if target.APIKey == "" {
		return nil, resource.Errorf(resource.Unauthenticated,
			"No API key for %s. Set SLIPWAY_API_KEY, or run `slipway login`.", target.Server)
	}
	return c.Connect(target)
}

// Connect makes a client for a target of the caller's own.
func (c *Console) Connect(t Target) (*client.Client, error) {
	return client.New(client.Config{
		URL: t.Server, APIKey: t.APIKey, Bearer: t.Bearer, Space: t.Space,
		UserAgent: "slipway/" + c.Version, Retries: 2, Pause: c.Pause,
	})
}

// Live says whether progress may be redrawn in place on standard error.
func (c *Console) Live() bool {
	return !c.Quiet && c.Env("TERM") != "dumb" && c.Terminal.IsTerminal(c.Err)
}

// Color says whether standard error may carry colours.
func (c *Console) Color() bool { return !c.NoColor && c.Env("NO_COLOR") == "" && c.Live() }

// WithoutSecrets is an environment without what this program reads its secrets
// from: scripts and workers inherit it, and must not find a key there (P9).
func WithoutSecrets(environ []string) []string {
	secrets := []string{
		"SLIPWAY_API_KEY", "OCTOPUS_API_KEY", "OCTOPUS_ACCESS_TOKEN", "SLIPWAY_AGENT_TOKEN", "SLIPWAY_ADMIN_API_KEY", "SLIPWAY_ADMIN_PASSWORD",
	}
	return slices.DeleteFunc(slices.Clone(environ), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.ContainsFunc(secrets, func(secret string) bool { return strings.EqualFold(name, secret) })
	})
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func sameServer(a, b string) bool {
	return b != "" && strings.EqualFold(strings.TrimRight(a, "/"), strings.TrimRight(b, "/"))
}
