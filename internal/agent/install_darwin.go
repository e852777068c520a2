package agent

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
)

// daemon is the launchd service. AbandonProcessGroup leaves shims and scripts
// alone when the agent is stopped (fault 46).
const daemon = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>Label</key><string>%s</string>
<key>ProgramArguments</key><array><string>%s</string><string>agent</string><string>run</string><string>--home</string><string>%s</string></array>
<key>RunAtLoad</key><true/>
<key>KeepAlive</key><true/>
<key>AbandonProcessGroup</key><true/>
</dict></plist>
`

func (i *Installer) daemonPath() string { return "Library/LaunchDaemons/" + i.Name + ".plist" }

// Install writes the launchd service and starts it. Installing again brings it
// up to date and restarts the agent.
func (i *Installer) Install(ctx context.Context) error {
	if err := i.check(); err != nil {
		return err
	}
	if err := i.Uninstall(ctx); err != nil {
		return err
	}
	text := fmt.Sprintf(daemon, xmlText(i.Name), xmlText(i.Program), xmlText(i.Home))
	if err := i.place(i.daemonPath(), text); err != nil {
		return fmt.Errorf("install the agent's service: %w", err)
	}
	return i.all(ctx, []string{"launchctl", "bootstrap", "system", filepath.Join(i.Root, i.daemonPath())})
}

// Uninstall stops the agent and removes the service. Scripts that run go on.
func (i *Installer) Uninstall(ctx context.Context) error {
	if err := i.defaults(); err != nil {
		return err
	}
	path := filepath.Join(i.Root, i.daemonPath())
	if _, err := os.Stat(path); err != nil {
		return removed(err)
	}
	// It may be written but not loaded, which bootout calls an error.
	_ = i.all(ctx, []string{"launchctl", "bootout", "system/" + i.Name})
	return removed(os.Remove(path))
}

func xmlText(text string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(text)) // a buffer takes everything
	return b.String()
}

// openFirewall changes nothing: macOS asks its user by itself.
func (i *Installer) openFirewall(_ context.Context, port int) (note string, err error) {
	return byHand(port), nil
}
