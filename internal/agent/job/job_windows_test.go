package job_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

// TestMain makes this binary a stand-in for PowerShell, which Wine does not have,
// when it is called like it: the script behind the bootstrap is read by cmd.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "-NoLogo" {
		code, err := standIn(os.Args[len(os.Args)-1])
		if err != nil {
			fmt.Println(err)
			code = 99
		}
		os.Exit(code)
	}
	os.Exit(m.Run())
}

var (
	target   = regexp.MustCompile(`(?m)^try \{\n    \. '(.+?)'`)
	assigned = regexp.MustCompile(`(?m)^Read-SlipwayVariables '(.+)'$`)
)

// standIn runs the bootstrap's script with its variables as environment.
func standIn(bootstrap string) (code int, err error) {
	text, err := os.ReadFile(bootstrap)
	if err != nil {
		return 0, err
	}
	script, names := target.FindSubmatch(text), assigned.FindSubmatch(text)
	if script == nil || names == nil {
		return 0, errors.New("this is not the bootstrap")
	}
	body, err := os.ReadFile(string(script[1]))
	if err != nil {
		return 0, err
	}
	list, err := os.ReadFile(string(names[1]))
	if err != nil {
		return 0, err
	}
	env := os.Environ()
	for line := range strings.Lines(string(list)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := base64.StdEncoding.DecodeString(name)
		v, _ := base64.StdEncoding.DecodeString(value)
		env = append(env, string(n)+"="+string(v))
	}
	batch := filepath.Join(filepath.Dir(bootstrap), "stand-in.cmd")
	plain := strings.ReplaceAll(strings.TrimPrefix(string(body), "\ufeff"), "\n", "\r\n")
	if err := os.WriteFile(batch, []byte("@echo off\r\n"+plain+"\r\n"), 0o600); err != nil {
		return 0, err
	}
	cmd := exec.Command("cmd", "/d", "/c", batch)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, os.Stdout, os.Stderr
	err = cmd.Run()
	if _, ended := errors.AsType[*exec.ExitError](err); ended {
		err = nil
	}
	return cmd.ProcessState.ExitCode(), err
}

func windowsMachine(t *testing.T) *machine {
	t.Helper()
	m := anyMachine(t)
	m.env.LookPath = func(name string) (string, error) {
		if name != "powershell" {
			return "", exec.ErrNotFound
		}
		return os.Args[0], nil
	}
	return m
}

func (m *machine) powerShell(body string, pairs ...string) *agentrpc.Result {
	m.t.Helper()
	return m.script(body, append([]string{"Octopus.Action.Script.Syntax", "PowerShell"}, pairs...)...)
}

func message(name string, pairs ...string) string {
	text := "echo ##octopus[" + name
	for i := 0; i < len(pairs); i += 2 {
		text += " " + pairs[i] + "='" + base64.StdEncoding.EncodeToString([]byte(pairs[i+1])) + "'"
	}
	return text + "]"
}

// The agent's own runner, with files, command line, variables, messages,
// masking, artifacts and exit codes, on Windows.
func TestScriptOnWindows(t *testing.T) {
	t.Parallel()
	m := windowsMachine(t)
	r := m.powerShell(strings.Join([]string{
		"echo greeting: %Greeting%", "echo password: %Password%", "cd", ">report.txt echo data", "echo oops 1>&2",
		message("setVariable", "name", "Answer", "value", "42"), message("createArtifact", "name", "report", "path", "report.txt"),
	}, "\n"), "Greeting", "hello", "!Password", "hunter22")
	m.want(r, succeeded, "")
	m.wantLog("\tInfo\tgreeting: hello\n", "\tInfo\tpassword: ********\n", "\tInfo\t"+m.path("attempt", "work"), "\tError\toops")
	if out := r.GetOutputs(); len(out) != 1 || out[0].GetName() != "Answer" || out[0].GetValue() != "42" {
		t.Error(out)
	}
	if a := r.GetArtifacts(); len(a) != 1 || a[0].GetName() != "report" || m.read("attempt", a[0].GetKey()) != "data\r\n" {
		t.Error(a)
	}
	m.want(m.powerShell("exit /b 4"), failed, "exit code 4")
	m.want(m.script("echo no shell here"), failed, "install bash or sh")
}

// A package with scripts and files to configure, into a folder with a drive
// letter, twice: what is the same is not written again.
func TestDeployOnWindows(t *testing.T) {
	t.Parallel()
	m := windowsMachine(t)
	p := m.put("", file{name: `conf\a.ini`, body: "greeting=#{Greeting}\n"}, file{name: "Web.config", body: appConfig},
		file{name: "Deploy.ps1", body: "type conf\\a.ini\n>made.txt echo made"}, file{name: "bin/run.exe", body: "MZ"})
	custom := m.path("custom folder")
	if filepath.VolumeName(custom) != "C:" {
		t.Fatalf("%s has no drive letter", custom)
	}
	for i := range 2 {
		r := m.deploy(p, "Greeting", "hello", "Octopus.Action.EnabledFeatures",
			"Octopus.Features.SubstituteInFiles,Octopus.Features.ConfigurationVariables,Octopus.Features.CustomDirectory",
			"Octopus.Action.SubstituteInFiles.TargetFiles", `conf\*.ini`,
			"Octopus.Action.Package.AutomaticallyUpdateAppSettingsAndConnectionStrings", "True",
			"Octopus.Action.Package.CustomInstallationDirectory", custom)
		m.want(r, succeeded, "")
		m.wantLog("\tInfo\tgreeting=hello\n")
		if got := r.GetReceipt().GetInstallDir(); got != custom {
			t.Errorf("installed in %s", got)
		}
		var paths []string
		for _, f := range r.GetReceipt().GetFiles() {
			paths = append(paths, f.GetPath())
		}
		if got := strings.Join(paths, " "); got != "Web.config bin/run.exe conf/a.ini" {
			t.Errorf("receipt %d: %s", i, got)
		}
		if got := m.read("custom folder", "conf", "a.ini"); got != "greeting=hello\n" {
			t.Errorf("%q", got)
		}
		if got := m.read("custom folder", "made.txt"); got != "made\r\n" {
			t.Errorf("%q", got)
		}
		if got := m.read("custom folder", "Web.config"); !strings.Contains(got, `value="hello"`) {
			t.Error(got)
		}
	}
}
