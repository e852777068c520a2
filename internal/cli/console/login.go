package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/slipwayhq/slipway/internal/resource"
)

const configName = "config.json"

// saved reads the login kept in ConfigDir; no file means no login.
func (c *Console) saved() (Target, error) {
	if c.ConfigDir == "" {
		return Target{}, nil
	}
	name := filepath.Join(c.ConfigDir, configName)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Target{}, nil
	}
	if err != nil {
		return Target{}, fmt.Errorf("read saved login: %w", err)
	}
	var t Target
	if err := json.Unmarshal(data, &t); err != nil {
		return Target{}, resource.Errorf(resource.Invalid, "The saved login in %s cannot be read (%v). Delete it or run `slipway login`.", name, err)
	}
	return t, nil
}

// Save keeps the target for later runs, readable by the user only.
func (c *Console) Save(t Target) error {
	if c.ConfigDir == "" {
		return resource.Errorf(resource.Invalid, "There is no folder to keep the login in. Set HOME or XDG_CONFIG_HOME.")
	}
	if err := os.MkdirAll(c.ConfigDir, 0o700); err != nil {
		return fmt.Errorf("save login: %w", err)
	}
	data, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return fmt.Errorf("save login: %w", err)
	}
	temp, err := os.CreateTemp(c.ConfigDir, configName+".*")
	if err != nil {
		return fmt.Errorf("save login: %w", err)
	}
	defer os.Remove(temp.Name())
	_, werr := temp.Write(append(data, '\n'))
	if err := errors.Join(werr, temp.Close()); err != nil {
		return fmt.Errorf("save login: %w", err)
	}
	return os.Rename(temp.Name(), filepath.Join(c.ConfigDir, configName))
}

// Forget removes the saved login.
func (c *Console) Forget() error {
	err := os.Remove(filepath.Join(c.ConfigDir, configName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget login: %w", err)
	}
	return nil
}
