package agent

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"time"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/proc"
)

// Facts are what the agent says of itself and its machine.
type Facts struct {
	SubscriptionID string
	Incarnation    int64
	Starts         []string // names of the last starts, this one first
	Version        string
	Hostname       string
	Shell          string
	ShellVersion   string
	BootID         string
	System         string
}

// shellTimeout bounds asking the shell for its version.
const shellTimeout = 10 * time.Second

var versionNumber = regexp.MustCompile(`\d+(\.\d+)+`)

// GatherFacts finds out what does not change while the agent runs. What cannot
// be found out stays empty.
func GatherFacts(ctx context.Context, version string) Facts {
	f := Facts{Version: version, System: systemName(), Shell: "Bash"}
	f.Hostname, _ = os.Hostname()
	f.BootID, _ = proc.BootID()
	if runtime.GOOS == "windows" {
		f.Shell = "PowerShell"
		f.ShellVersion = ask(ctx, "powershell.exe", "-NoLogo", "-NoProfile", "-NonInteractive", "-Command", "$PSVersionTable.PSVersion.ToString()")
	} else {
		f.ShellVersion = ask(ctx, "bash", "--version")
	}
	return f
}

func ask(ctx context.Context, name string, args ...string) string {
	ctx, cancel := context.WithTimeoutCause(ctx, shellTimeout, errors.New("the shell did not say its version"))
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	line, _, _ := bytes.Cut(out, []byte("\n"))
	return string(versionNumber.Find(line))
}

func (f Facts) describe(home string) *agentrpc.DescribeResponse {
	return &agentrpc.DescribeResponse{
		SubscriptionId: f.SubscriptionID, Incarnation: f.Incarnation, Starts: f.Starts, Version: f.Version, Hostname: f.Hostname,
		Os: runtime.GOOS, Arch: runtime.GOARCH, Shell: f.Shell, ShellVersion: f.ShellVersion,
		BootId: f.BootID, OsDescription: f.System, FreeDiskBytes: freeDisk(home),
	}
}
