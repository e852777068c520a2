package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/slipwayhq/slipway/internal/agent"
)

// The names in an agent's home that make it somebody (package agent).
const (
	identityName = "identity"
	configName   = "agent.json"
)

// removeIdentity makes a home nobody's. Journal and packages stay: what they
// record happened on this machine, whoever it is next.
func removeIdentity(home string) error {
	if err := os.RemoveAll(filepath.Join(home, identityName)); err != nil {
		return fmt.Errorf("remove identity: %w", err)
	}
	return removeConfig(home)
}

func removeConfig(home string) error {
	if err := os.Remove(filepath.Join(home, configName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove configuration: %w", err)
	}
	return nil
}

// defaultApplications is the system's folder for the system's agent, and a
// folder in the home of any other.
func defaultApplications(home string) (string, error) {
	if home == agent.DefaultHome() {
		return agent.DefaultApplications(), nil
	}
	home, err := filepath.Abs(home)
	return filepath.Join(home, "applications"), err
}
