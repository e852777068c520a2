package job_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/agent/job"
	"github.com/slipwayhq/slipway/internal/agent/packagestore"
	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/proc"
)

// machine is a home, an applications folder and a package store.
type machine struct {
	t   *testing.T
	dir string
	env job.Env
	log bytes.Buffer
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the scripts of these tests are for a shell")
	}
	return anyMachine(t)
}

// anyMachine is for tests that run on all systems.
func anyMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir()}
	store, err := packagestore.Open(m.path("packages"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	if err := os.Mkdir(m.path("attempt"), 0o700); err != nil {
		t.Fatal(err)
	}
	runner := &proc.Runner{Grace: 10 * time.Millisecond}
	m.env = job.Env{
		Attempt: "attempts-1", Dir: m.path("attempt"), Log: &m.log, Run: runner.Run,
		Clock:        func() time.Time { return time.UnixMilli(1_700_000_000_000) },
		Applications: m.path("apps"), Packages: store, Environ: os.Environ(), LookPath: exec.LookPath,
		Free:   func(string) (int64, error) { return 1 << 40, nil },
		Random: func() string { return "unguessable" },
	}
	return m
}

func (m *machine) path(parts ...string) string {
	return filepath.Join(append([]string{m.dir}, parts...)...)
}

// file is one in a package.
type file struct {
	name, body string
	mode       fs.FileMode
}

// put makes a package of the files and puts it into the store.
func (m *machine) put(name string, files ...file) *agentrpc.Package {
	m.t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		h.SetMode(0o644 | f.mode)
		part, err := w.CreateHeader(h)
		if err != nil {
			m.t.Fatal(err)
		}
		if _, err := part.Write([]byte(f.body)); err != nil {
			m.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		m.t.Fatal(err)
	}
	sum := sha256.Sum256(out.Bytes())
	p := &agentrpc.Package{
		Name: name, PackageId: "My.App", Version: "1.2.3", Sha256: hex.EncodeToString(sum[:]), Size: int64(out.Len()), Extension: ".zip", Extract: true,
	}
	h := &agentrpc.PutRequest_Header{Sha256: p.Sha256, Size: p.Size, PackageId: p.PackageId, Version: p.Version}
	if err := m.env.Packages.Put(m.t.Context(), h, &out); err != nil {
		m.t.Fatal(err)
	}
	return p
}

// variables pairs names with values; a name that starts with '!' is secret.
func variables(pairs ...string) (list []*agentrpc.Variable) {
	for i := 0; i < len(pairs); i += 2 {
		name, sensitive := strings.CutPrefix(pairs[i], "!")
		list = append(list, &agentrpc.Variable{Name: name, Value: pairs[i+1], Sensitive: sensitive})
	}
	return list
}

func (m *machine) run(ctx context.Context, j *agentrpc.Job) *agentrpc.Result {
	m.t.Helper()
	result := job.Run(ctx, m.env, j)
	if _, err := os.Stat(m.path("attempt", "work")); err == nil {
		m.t.Error("the working folder was left (abuse 72)")
	}
	if hidden, _ := filepath.Glob(m.path("apps", ".slipway", "*")); len(hidden) > 0 {
		m.t.Errorf("left %v", hidden)
	}
	return result
}

func (m *machine) deploy(p *agentrpc.Package, pairs ...string) *agentrpc.Result {
	m.t.Helper()
	pairs = append([]string{"Octopus.Environment.Name", "Production"}, pairs...)
	return m.run(m.t.Context(), &agentrpc.Job{ActionType: "Octopus.TentaclePackage", Variables: variables(pairs...), Packages: []*agentrpc.Package{p}})
}

func (m *machine) script(body string, pairs ...string) *agentrpc.Result {
	m.t.Helper()
	pairs = append([]string{"Octopus.Action.Script.Syntax", "Bash", "Octopus.Action.Script.ScriptBody", body}, pairs...)
	return m.run(m.t.Context(), &agentrpc.Job{ActionType: "Octopus.Script", Variables: variables(pairs...)})
}

func (m *machine) want(r *agentrpc.Result, outcome agentrpc.Outcome, reason string) {
	m.t.Helper()
	if r.GetOutcome() != outcome || !strings.Contains(r.GetReason(), reason) {
		m.t.Errorf("outcome %v, code %d, reason %q; want %v, %q\n%s", r.GetOutcome(), r.GetExitCode(), r.GetReason(), outcome, reason, m.log.String())
	}
	if (r.GetReceipt() != nil) && outcome != agentrpc.Outcome_OUTCOME_SUCCEEDED {
		m.t.Error("a receipt without success")
	}
}

func (m *machine) wantLog(texts ...string) {
	m.t.Helper()
	for _, text := range texts {
		if !strings.Contains(m.log.String(), text) {
			m.t.Errorf("no %q in\n%s", text, m.log.String())
		}
	}
}

const (
	succeeded  = agentrpc.Outcome_OUTCOME_SUCCEEDED
	failed     = agentrpc.Outcome_OUTCOME_FAILED
	notStarted = agentrpc.Outcome_OUTCOME_NOT_STARTED
)

func (m *machine) read(parts ...string) string {
	m.t.Helper()
	text, err := os.ReadFile(m.path(parts...))
	if err != nil {
		m.t.Error(err)
	}
	return string(text)
}

func TestScript(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	r := m.script(`
set -eu
echo "greeting: $(get_octopusvariable Greeting)"
echo "inline #{Greeting | ToUpper}, password $(get_octopusvariable Password)"
echo "derived $(get_octopusvariable Connection)"
echo "args: $1, $2"
set_octopusvariable Answer 42
set_octopusvariable Token new-token -sensitive
echo new-token
echo data > report.txt
new_octopusartifact report.txt`,
		"Greeting", "hello #{Name}", "Name", "Ann; Bob", "!Password", "hunter22", "Connection", "pw=#{Password};x",
		"Octopus.Action.Script.ScriptParameters", `"#{Greeting}" two`)
	m.want(r, succeeded, "")
	m.wantLog("\tInfo\tgreeting: hello Ann; Bob\n", "\tInfo\tinline HELLO ANN; BOB, password ********\n", "\tInfo\tderived ********\n",
		"\tInfo\targs: hello Ann; Bob, two\n", "\tInfo\t********\n")
	if strings.Contains(m.log.String(), "hunter22") || strings.Contains(m.log.String(), "new-token") {
		t.Error(m.log.String())
	}
	var outputs []string
	for _, o := range r.GetOutputs() {
		outputs = append(outputs, fmt.Sprint(o.GetName(), "=", o.GetValue(), " ", o.GetSensitive()))
	}
	if !slices.Equal(outputs, []string{"Answer=42 false", "Token=new-token true"}) {
		t.Error(outputs)
	}
	if a := r.GetArtifacts(); len(a) != 1 || a[0].GetName() != "report.txt" || m.read("attempt", a[0].GetKey()) != "data\n" || a[0].GetSize() != 5 {
		t.Error(a)
	}
}

// What earlier steps and people gave is text, not template (abuse 63).
func TestLiteralVariables(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	r := m.run(t.Context(), &agentrpc.Job{ActionType: "Octopus.Script", Variables: append(
		variables("Octopus.Action.Script.Syntax", "Bash", "Octopus.Action.Script.ScriptBody", `get_octopusvariable Typed`, "Secret", "x"),
		&agentrpc.Variable{Name: "Typed", Value: "#{Secret}", Literal: true},
	)})
	m.want(r, succeeded, "")
	m.wantLog("\tInfo\t#{Secret}\n")
}

func TestScriptOutcomes(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		body    string
		pairs   []string
		outcome agentrpc.Outcome
		code    int32
		reason  string
	}{
		"code":            {"exit 7", nil, failed, 7, "ended with exit code 7"},
		"message":         {`fail_step "no room for $(get_octopusvariable Password)"`, []string{"!Password", "hunter22"}, failed, 1, "no room for ********"},
		"stderr is fine":  {"echo oops >&2", nil, succeeded, 0, ""},
		"stderr fails":    {"echo oops >&2", []string{"Octopus.Action.FailScriptOnErrorOutput", "True"}, failed, 0, "error output"},
		"no body":         {" ", nil, failed, 0, "is empty"},
		"loop":            {"#{A}", []string{"A", "#{B}", "B", "#{A}"}, failed, 0, "cannot be evaluated"},
		"missing is kept": {"echo '#{Nobody}'", nil, succeeded, 0, ""},
		"unknown syntax":  {"x", []string{"Octopus.Action.Script.Syntax", "Cobol"}, failed, 0, "Cobol"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			r := m.script(c.body, c.pairs...)
			m.want(r, c.outcome, c.reason)
			if r.GetExitCode() != c.code {
				t.Errorf("code %d", r.GetExitCode())
			}
		})
	}
	m := newMachine(t)
	m.want(m.run(t.Context(), &agentrpc.Job{ActionType: "Octopus.Teapot"}), failed, "Octopus.Teapot")
}

// abuse 77
func TestOwnMessagesOnly(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	r := m.script(`echo "##octopus[setVariable name='QQ==' value='Zm9yZ2Vk']"; set_octopusvariable A own`, "Slipway.Action.ServiceMessages.OwnOnly", "True")
	if o := r.GetOutputs(); len(o) != 1 || o[0].GetValue() != "own" || !r.GetWarnings() {
		t.Error(o, r.GetWarnings())
	}
}

func TestScriptInPackage(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.put("", file{name: "tools/run.sh", body: ". ./lib.sh\nhello \"$1\"; cat settings.ini\n"},
		file{name: "lib.sh", body: "hello() { echo \"hello $1\"; }\n"}, file{name: "settings.ini", body: "key=#{Key}\n"})
	dep := m.put("Tool", file{name: "a.txt", body: "extracted\n"})
	job := &agentrpc.Job{ActionType: "Octopus.Script", Packages: []*agentrpc.Package{p, dep}, Variables: variables(
		"Octopus.Action.Script.ScriptSource", "Package", "Octopus.Action.Script.ScriptFileName", `tools\run.sh`,
		"Octopus.Action.Script.ScriptParameters", "world", "Key", "value",
		"Octopus.Action.EnabledFeatures", "Octopus.Features.SubstituteInFiles",
		"Octopus.Action.SubstituteInFiles.TargetFiles", "settings.ini",
	)}
	m.want(m.run(t.Context(), job), succeeded, "")
	m.wantLog("\tInfo\thello world\n", "\tInfo\tkey=value\n")
	for _, name := range []string{"../run.sh", "/bin/sh", "nothing.sh", "settings.ini", ""} {
		job.Variables = append(job.Variables, variables("Octopus.Action.Script.ScriptFileName", name)...)
		m.want(m.run(t.Context(), job), failed, "Octopus.Action.Script.ScriptFileName")
	}
}

func TestReferencedPackages(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	folder := m.put("Tool One", file{name: "a.txt", body: "extracted\n"})
	plain := m.put("Data", file{name: "b.txt", body: "not extracted\n"})
	plain.Extract = false
	r := m.run(t.Context(), &agentrpc.Job{ActionType: "Octopus.Script", Packages: []*agentrpc.Package{folder, plain}, Variables: variables(
		"Octopus.Action.Script.Syntax", "Bash", "Octopus.Action.Script.ScriptBody",
		`cat "$(get_octopusvariable 'Octopus.Action.Package[Tool One].ExtractedPath')/a.txt"
		head -c 2 "$(get_octopusvariable 'Octopus.Action.Package[Data].PackageFilePath')"; get_octopusvariable 'Octopus.Action.Package[Data].PackageFileName'`,
	)})
	m.want(r, succeeded, "")
	m.wantLog("\tInfo\textracted\n", "\tInfo\tPKData.zip\n")
}

func TestCancel(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	m.env.Log = writerFunc(func(p []byte) (int, error) {
		if strings.Contains(string(p), "started") {
			cancel(fmt.Errorf("a person asked for it"))
		}
		return m.log.Write(p)
	})
	r := m.run(ctx, &agentrpc.Job{ActionType: "Octopus.Script", Variables: variables(
		"Octopus.Action.Script.Syntax", "Bash", "Octopus.Action.Script.ScriptBody", "echo started; sleep 600; echo never",
	)})
	m.want(r, agentrpc.Outcome_OUTCOME_CANCELED, "a person asked for it")
	if strings.Contains(m.log.String(), "never") {
		t.Error(m.log.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
