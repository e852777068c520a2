package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/resource"
)

// Mode is who opens the connection.
type Mode string

// The modes. They change nothing but the direction of the dial (P3).
const (
	Listening Mode = "Listening" // the server dials the agent
	Polling   Mode = "Polling"   // the agent dials the server
)

// The ports of the two modes.
const (
	DefaultListenPort = 10933 // of a listening agent
	DefaultServerPort = 10943 // of the server, for polling agents
)

// Config is the agent's configuration: agent.json in its home. The private key
// is not in it.
type Config struct {
	// Name is what people call the machine.
	Name string
	Mode Mode
	// Listen is the address that a listening agent accepts on, ":10933" by
	// default.
	Listen string `json:",omitempty"`
	// Servers are the addresses that a polling agent dials in turn, host:port.
	Servers []string `json:",omitempty"`
	// ServerThumbprints are the pins of the servers that may give orders; at
	// least one.
	ServerThumbprints []string
	// SubscriptionID is, with the key, who a polling agent is: "poll://…/".
	SubscriptionID string `json:",omitempty"`
	// ApplicationsDir is where packages are installed.
	ApplicationsDir string
	// Instance binds the home to this machine, see Instance.
	Instance string
}

const configFile = "agent.json"

// DefaultHome is where the agent lives if nothing else is said.
func DefaultHome() string {
	switch runtime.GOOS {
	case "windows":
		return filepath.Join(os.Getenv("ProgramData"), "Slipway", "agent")
	case "darwin":
		return "/usr/local/var/slipway/agent"
	default:
		return "/var/lib/slipway/agent"
	}
}

// DefaultApplications is where packages are installed if nothing else is said.
func DefaultApplications() string {
	if runtime.GOOS == "windows" {
		return `C:\Slipway\Applications`
	}
	return "/opt/slipway/applications"
}

// subscription is the form of a subscription id: an opaque name of this agent
// at the server, not an address.
var subscription = regexp.MustCompile(`^poll://[a-z0-9]{20}/$`)

// NewSubscriptionID makes a subscription id from random, which gives letters
// and digits, such as crypto/rand.Text.
func NewSubscriptionID(random func() string) string {
	text := strings.ToLower(random() + random())
	return "poll://" + text[:20] + "/"
}

// Instance names this machine and this home. An identity that was copied to
// another machine, or to another place on this one, finds another instance than
// its configuration has, and the agent refuses to run: two machines must not
// answer to one name (abuse 4).
func Instance(home string) (string, error) {
	home, err := filepath.Abs(home)
	if err != nil {
		return "", fmt.Errorf("name this instance: %w", err)
	}
	sum := sha256.Sum256([]byte(machineID() + "\n" + home))
	return hex.EncodeToString(sum[:]), nil
}

// Validate says what is wrong, with a sentence for a person.
func (c *Config) Validate() error {
	if c.Name == "" {
		return resource.Errorf(resource.Invalid, "The agent needs a name.")
	}
	if len(c.ServerThumbprints) == 0 {
		return resource.Errorf(resource.Invalid, "The agent needs the server's thumbprint; without it nobody may give it orders.")
	}
	for _, text := range c.ServerThumbprints {
		if pin, ok := agentrpc.ParseThumbprint(text); !ok || pin != text {
			return resource.Errorf(resource.Invalid, "%q is not a thumbprint: give the %d hex digits that the server shows.", text, agentrpc.ThumbprintLength)
		}
	}
	if !filepath.IsAbs(c.ApplicationsDir) {
		return resource.Errorf(resource.Invalid, "The applications folder has to be an absolute path, not %q.", c.ApplicationsDir)
	}
	switch c.Mode {
	case Listening:
		return validAddress(c.Listen)
	case Polling:
		if len(c.Servers) == 0 {
			return resource.Errorf(resource.Invalid, "A polling agent needs the address of its server.")
		}
		if !subscription.MatchString(c.SubscriptionID) {
			return resource.Errorf(resource.Invalid, "%q is not a subscription id; make a new one.", c.SubscriptionID)
		}
		for _, server := range c.Servers {
			if err := validAddress(server); err != nil {
				return err
			}
		}
		return nil
	default:
		return resource.Errorf(resource.Invalid, "The agent's mode is %s or %s, not %q.", Listening, Polling, c.Mode)
	}
}

func validAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return resource.Errorf(resource.Invalid, "%q is not an address; write host:port.", address)
	}
	return nil
}

// PollingAddress is where a polling agent dials, from the server's web address
// or a host with or without port.
func PollingAddress(server string) (string, error) {
	host := server
	if strings.Contains(server, "://") {
		u, err := url.Parse(server)
		if err != nil || u.Hostname() == "" {
			return "", resource.Errorf(resource.Invalid, "%q is not an address; write https://host or host:port.", server)
		}
		return net.JoinHostPort(u.Hostname(), strconv.Itoa(DefaultServerPort)), nil
	}
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host, validAddress(host)
	}
	host = net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(DefaultServerPort))
	return host, validAddress(host)
}

// Save writes the configuration into home, which it makes if need be, and binds
// it to this machine where it is bound to none.
func (c *Config) Save(home string) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if c.Instance == "" {
		var err error
		if c.Instance, err = Instance(home); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("save the agent's configuration: %w", err)
	}
	if err := MakeHome(home); err != nil {
		return err
	}
	if err := writeFile(home, configFile, append(text, '\n')); err != nil {
		return fmt.Errorf("save the agent's configuration: %w", err)
	}
	return nil
}

// LoadConfig reads the configuration in home.
func LoadConfig(home string) (*Config, error) {
	text, err := os.ReadFile(filepath.Join(home, configFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &resource.Error{
			Code: resource.NotFound, Err: err,
			Message: fmt.Sprintf("There is no agent in %s. Register one first, or name its home with --home.", home),
		}
	}
	if err != nil {
		return nil, fmt.Errorf("load the agent's configuration: %w", err)
	}
	c := new(Config)
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("load the agent's configuration %s: %w", filepath.Join(home, configFile), err)
	}
	return c, c.Validate()
}

// identityDir is where the key lies.
func identityDir(home string) string { return filepath.Join(home, "identity") }
