package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/agent"
	"github.com/slipwayhq/slipway/internal/resource"
)

// tools records the commands and answers some.
type tools struct {
	ran     []string
	answers map[string]string
}

func (f *tools) command(_ context.Context, name string, args ...string) (string, error) {
	line := strings.Join(append([]string{name}, args...), " ")
	f.ran = append(f.ran, line)
	return f.answers[line], nil
}

func (f *tools) lookPath(name string) (string, error) {
	for line := range f.answers {
		if strings.HasPrefix(line, name+" ") {
			return "/usr/sbin/" + name, nil
		}
	}
	return "", errors.New("not found")
}

func installer(t *testing.T, f *tools) *agent.Installer {
	t.Helper()
	program := filepath.Join(t.TempDir(), `a "b" 100% $x`)
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	return &agent.Installer{Program: program, Home: newHome(t), Root: t.TempDir(), Command: f.command, LookPath: f.lookPath}
}

func TestInstallSystemdUnit(t *testing.T) {
	t.Parallel()
	f := &tools{}
	i := installer(t, f)
	if err := i.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(i.Root, "etc/systemd/system/slipway-agent.service")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	quoted := `/a \"b\" 100%% $$x" agent run --home "` + i.Home + `"`
	for _, want := range []string{"KillMode=process\n", "Restart=always\n", "Delegate=yes\n", quoted} { // fault 46
		if !strings.Contains(string(text), want) {
			t.Errorf("the unit lacks %q:\n%s", want, text)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := i.Uninstall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(i.Home); err != nil {
		t.Fatal(err)
	}
	if err := i.Uninstall(t.Context()); err != nil {
		t.Errorf("removed twice: %v", err)
	}
	want := "systemctl daemon-reload, systemctl enable slipway-agent, systemctl restart slipway-agent, " +
		"systemctl disable --now slipway-agent, systemctl daemon-reload"
	if got := strings.Join(f.ran, ", "); got != want {
		t.Errorf("ran %s, want %s", got, want)
	}
}

// abuse 85
func TestInstallRefusesProgramOthersCanWrite(t *testing.T) {
	t.Parallel()
	f := &tools{}
	i := installer(t, f)
	if err := os.Chmod(i.Program, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := i.Install(t.Context()); resource.CodeOf(err) != resource.PreconditionFailed || len(f.ran) != 0 {
		t.Errorf("%v, ran %v", err, f.ran)
	}
}

func TestOpenFirewall(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers map[string]string
		ran     string // the last command
		note    bool
	}{
		"none":           {nil, "", true},
		"ufw":            {map[string]string{"ufw status": "Status: active\n"}, "ufw allow 10933/tcp comment Slipway agent", false},
		"ufw off":        {map[string]string{"ufw status": "Status: inactive\n"}, "ufw status", true},
		"firewalld":      {map[string]string{"firewall-cmd --state": "running\n"}, "firewall-cmd --add-port=10933/tcp", false},
		"firewalld, off": {map[string]string{"firewall-cmd --state": "not running\n"}, "firewall-cmd --state", true},
	} {
		f := &tools{answers: c.answers}
		note, err := installer(t, f).OpenFirewall(t.Context(), 10933)
		last := ""
		if len(f.ran) > 0 {
			last = f.ran[len(f.ran)-1]
		}
		if err != nil || last != c.ran || (note != "") != c.note {
			t.Errorf("%s: note %q, %v, ran %v", name, note, err, f.ran)
		}
	}
}
