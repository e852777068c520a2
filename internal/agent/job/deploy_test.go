package job_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/agent/job"
	"github.com/slipwayhq/slipway/internal/agentrpc"
)

const appConfig = `<configuration><appSettings><add key="Greeting" value="old"/></appSettings></configuration>`

var everything = []string{
	"Octopus.Deployment.Tenant.Name", "Acme/Ltd", "Octopus.Environment.Name", "Production: EU", "Greeting", "hello", "!Password", "hunter22",
	"Octopus.Action.EnabledFeatures", "Octopus.Features.CustomScripts,Octopus.Features.SubstituteInFiles,Octopus.Features.ConfigurationVariables,Octopus.Features.JsonConfigurationVariables",
	"Octopus.Action.SubstituteInFiles.TargetFiles", "conf/*.ini",
	"Octopus.Action.Package.AutomaticallyUpdateAppSettingsAndConnectionStrings", "True",
	"Octopus.Action.Package.JsonConfigurationVariablesTargets", "appsettings.json", "Db:Password", "#{Password}",
	"Octopus.Action.CustomScripts.PreDeploy.sh", `echo "1 step PreDeploy"; ls | grep -c ini || :; set_octopusvariable FromPre value`,
	"Octopus.Action.CustomScripts.Deploy.sh", `echo "4 step Deploy $(get_octopusvariable FromPre)"`,
	"Octopus.Action.CustomScripts.PostDeploy.py", `printhighlight("6 step PostDeploy " + octopusvariables["Octopus.Action.Package.InstallationDirectoryPath"])`,
}

func allFiles() []file {
	return []file{
		{name: "app.txt", body: "app"},
		{name: "conf/a.ini", body: "greeting=#{Greeting}\n"},
		{name: "Web.config", body: appConfig},
		{name: "appsettings.json", body: `{"Db": {"Password": "old"}}`},
		{name: "PreDeploy.sh", body: "echo '2 package PreDeploy'; cat conf/a.ini; echo made > made.txt\n"},
		{name: "deploy.sh", body: "echo '3 package Deploy'; cat conf/a.ini\n"},
		{name: "Deploy.py", body: "print('not me')\n"},
		{name: "PostDeploy.sh", body: "echo '5 package PostDeploy'\n"},
		{name: "DeployFailed.sh", body: "echo 'not me'\n"},
		{name: "bin/run", body: "#!/bin/sh\n", mode: 0o755},
	}
}

func TestDeploy(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.put("", allFiles()...)
	steps := slices.Clone(everything)
	dir := m.path("apps", "AcmeLtd", "Production EU", "My.App", "1.2.3")
	order := []string{
		"1 step PreDeploy", "2 package PreDeploy", "greeting=#{Greeting}", "3 package Deploy", "greeting=hello",
		"4 step Deploy value", "5 package PostDeploy",
	}
	if _, err := exec.LookPath("python3"); err == nil {
		order = append(order, "Highlight\t6 step PostDeploy "+dir)
	} else { // a machine with Go and nothing else
		steps = steps[:len(steps)-2]
	}
	r := m.deploy(p, steps...)
	m.want(r, succeeded, "")
	m.inOrder(order...)
	if strings.Contains(m.log.String(), "not me") || strings.Contains(m.log.String(), "hunter22") {
		t.Error(m.log.String())
	}
	want := map[string]string{
		"app.txt": "app", "made.txt": "made\n", "conf/a.ini": "greeting=hello\n", "bin/run": "#!/bin/sh\n",
		"Web.config": strings.Replace(appConfig, "old", "hello", 1), "appsettings.json": "",
	}
	checkReceipt(t, r.GetReceipt(), p, dir, want)
	if got := m.read("apps", "AcmeLtd", "Production EU", "My.App", "1.2.3", "appsettings.json"); !strings.Contains(got, `"hunter22"`) {
		t.Error(got)
	}
	if info, err := os.Stat(filepath.Join(dir, "bin/run")); err != nil || info.Mode() != 0o755 {
		t.Error(info, err)
	}
	outputs := map[string]string{}
	for _, o := range r.GetOutputs() {
		outputs[o.GetName()] = o.GetValue()
	}
	if outputs["Octopus.Action.Package.InstallationDirectoryPath"] != dir || outputs["Package.ExtractedFileCount"] != "10" || outputs["FromPre"] != "value" {
		t.Error(outputs)
	}
}

func (m *machine) inOrder(texts ...string) {
	m.t.Helper()
	rest := m.log.String()
	for _, text := range texts {
		at := strings.Index(rest, text)
		if at < 0 {
			m.t.Fatalf("no %q in its place in\n%s", text, m.log.String())
		}
		rest = rest[at+len(text):]
	}
}

// checkReceipt compares the receipt with the disk, read by the test itself.
func checkReceipt(t *testing.T, r *agentrpc.Receipt, p *agentrpc.Package, dir string, want map[string]string) {
	t.Helper()
	if r.GetAttempt() != "attempts-1" || r.GetPackageSha256() != p.GetSha256() || r.GetInstallDir() != dir || r.GetPackageId() != "My.App" || r.GetVersion() != "1.2.3" {
		t.Error(r)
	}
	var names []string
	for _, f := range r.GetFiles() {
		names = append(names, f.GetPath())
		body, err := os.ReadFile(filepath.Join(dir, f.GetPath()))
		sum := sha256.Sum256(body)
		if err != nil || f.GetSha256() != hex.EncodeToString(sum[:]) || f.GetSize() != int64(len(body)) {
			t.Errorf("%v %v", f, err)
		}
		if wanted, known := want[f.GetPath()]; !known || wanted != "" && wanted != string(body) {
			t.Errorf("%s: %q", f.GetPath(), body)
		}
	}
	if len(names) != len(want) || !slices.IsSorted(names) {
		t.Errorf("%q", names)
	}
}

// abuse 46: names that Windows keeps for devices are not taken as they are, and
// paths may be longer than what its older programs take.
func TestDeployWithAwkwardNames(t *testing.T) {
	t.Parallel()
	m := anyMachine(t)
	long := strings.Repeat("a long folder/", 20) + "file.txt"
	p := m.put("", file{name: long, body: "deep"}, file{name: "app.txt", body: "app"})
	r := m.deploy(p, "Octopus.Environment.Name", "nul", "Octopus.Deployment.Tenant.Name", "Com1.Ltd")
	m.want(r, succeeded, "")
	dir := m.path("apps", "_Com1.Ltd", "_nul", "My.App", "1.2.3")
	if got := r.GetReceipt(); got.GetInstallDir() != dir || len(got.GetFiles()) != 2 {
		t.Error(got)
	}
	if got := m.read("apps", "_Com1.Ltd", "_nul", "My.App", "1.2.3", filepath.FromSlash(long)); got != "deep" {
		t.Errorf("%q", got)
	}
}

func TestDeployAgain(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.put("", file{name: "app.txt", body: "app"})
	for _, version := range []string{"1.2.3", "1.2.3_1", "1.2.3_2"} {
		r := m.deploy(p)
		m.want(r, succeeded, "")
		if got := r.GetReceipt().GetInstallDir(); got != m.path("apps", "Production", "My.App", version) {
			t.Error(got)
		}
	}
}

func TestDeployFailed(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.put("", file{name: "app.txt", body: "app"}, file{name: "Deploy.sh", body: "fail_step \"broken $(get_octopusvariable Password)\""},
		file{name: "PostDeploy.sh", body: "echo never"},
		file{name: "DeployFailed.sh", body: `echo "cleaning up after: $(get_octopusvariable OctopusLastErrorMessage)"; exit 3`})
	r := m.deploy(p, "!Password", "hunter22", "Octopus.Action.EnabledFeatures", "Octopus.Features.CustomScripts",
		"Octopus.Action.CustomScripts.DeployFailed.sh", `echo "also the step's"`)
	m.want(r, failed, "broken ********")
	m.wantLog("cleaning up after: broken ********", "also the step's", "DeployFailed: The package's script DeployFailed.sh ended with exit code 3")
	if r.GetExitCode() != 1 || strings.Contains(m.log.String(), "never") {
		t.Error(r.GetExitCode(), m.log.String())
	}
	if left, _ := filepath.Glob(m.path("apps", "Production", "My.App", "1.2.3", "DeployFailed*")); len(left) > 0 {
		t.Error(left)
	}
}

// A package altered in the agent's store, before and during the deployment
// (abuse 55, fault 42).
func TestAlteredPackage(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.put("", file{name: "app.txt", body: "app"})
	stored := m.path("packages", p.Sha256[:2], p.Sha256)
	if err := os.WriteFile(stored, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.want(m.deploy(p), notStarted, "was altered")
	if missing, err := m.env.Packages.Missing([]string{p.Sha256}); err != nil || len(missing) != 1 {
		t.Error("the altered package is still there")
	}
	m.want(m.deploy(p), notStarted, "is not in this machine's store")
	if apps, _ := filepath.Glob(m.path("apps", "Production", "*", "*")); len(apps) > 0 {
		t.Error(apps)
	}
	p = m.put("", file{name: "app.txt", body: "app"}, file{name: "PostDeploy.sh", body: "printf x >> '" + stored + "'\n" +
		"for f in '" + m.path("packages") + "'/*/*; do printf x >> \"$f\"; done\n"})
	m.want(m.deploy(p), failed, "was altered while it was deployed")
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.put("", file{name: "app.txt", body: "app"}, file{name: "bin/tool", body: "x"}, file{name: "PostDeploy.sh", body: "rm bin/tool"})
	m.want(m.deploy(p), failed, "missing from "+m.path("apps", "Production", "My.App", "1.2.3")+": bin/tool")
	r := m.deploy(p, "Slipway.Action.Package.FilesThatMayBeRemoved", "logs/**\nbin/*")
	m.want(r, succeeded, "")
	checkReceipt(t, r.GetReceipt(), p, m.path("apps", "Production", "My.App", "1.2.3_1"), map[string]string{"app.txt": "app"})
}

// The receipt is of what is on the disk, not of what was sent.
func TestReceiptIsReadFromTheDisk(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.put("", file{name: "app.txt", body: "app"}, file{name: "PostDeploy.sh", body: "echo changed > app.txt; ln -s app.txt link"})
	r := m.deploy(p)
	m.want(r, succeeded, "")
	checkReceipt(t, r.GetReceipt(), p, m.path("apps", "Production", "My.App", "1.2.3"), map[string]string{"app.txt": "changed\n"})
}

// abuse 43: refused on the machine as well; nothing is visible.
func TestHostilePackage(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.put("", file{name: "ok.txt", body: "x"}, file{name: "../evil.txt", body: "x"})
	m.want(m.deploy(p), failed, "../evil.txt")
	if apps, _ := filepath.Glob(m.path("apps", "Production", "*", "*")); len(apps) > 0 {
		t.Error(apps)
	}
}

// fault 19
func TestFullDisk(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.put("", file{name: "app.txt", body: "app"})
	m.env.Free = func(string) (int64, error) { return 499 << 20, nil }
	m.want(m.deploy(p), notStarted, "disk is full")
	if _, err := os.Stat(m.path("apps")); err == nil {
		t.Error("something was made")
	}
	m.want(m.deploy(p, "OctopusFreeDiskSpaceOverrideInMegaBytes", "100"), succeeded, "")
	m.want(m.deploy(p, "OctopusSkipFreeDiskSpaceCheck", "True"), succeeded, "")
}

func TestCanceledBeforeInstall(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.put("", file{name: "app.txt", body: "app"})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("a person asked for it"))
	r := m.run(ctx, &agentrpc.Job{ActionType: "Octopus.TentaclePackage", Packages: []*agentrpc.Package{p}})
	m.want(r, agentrpc.Outcome_OUTCOME_CANCELED, "a person asked for it")
}

func TestSkips(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	p := m.put("", file{name: "app.txt", body: "app"}, file{name: "PreDeploy.sh", body: `set_octopusvariable Octopus.Action.SkipRemainingConventions True`},
		file{name: "Deploy.sh", body: "echo never; exit 1"})
	m.want(m.deploy(p), succeeded, "")
	m.want(m.deploy(p, "Octopus.Action.Package.RunScripts", "False"), succeeded, "")
	if strings.Contains(m.log.String(), "never") {
		t.Error(m.log.String())
	}
	p = m.put("", file{name: "app.txt", body: "app"}, file{name: "Deploy.csx", body: "x"})
	m.want(m.deploy(p), failed, "Deploy.csx")
	p = m.put("", file{name: "app.txt", body: "app"}, file{name: "Deploy.sh", body: "echo ran"})
	r := m.deploy(p, "OctopusDeleteScriptsOnCleanup", "False")
	m.want(r, succeeded, "")
	if len(r.GetReceipt().GetFiles()) != 2 {
		t.Error(r.GetReceipt())
	}
}

func TestCustomFolder(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	custom := m.path("www", "site")
	p := m.put("", file{name: "app.txt", body: "app"}, file{name: "conf/a.ini", body: "x"}, file{name: "Deploy.sh", body: "pwd; echo y > made.txt"})
	for name, body := range map[string]string{"old.txt": "old", "data/keep.db": "keep", "conf/a.ini": "older", "gone/x/y": "y"} {
		full := filepath.Join(custom, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	setting := "Octopus.Action.Package.CustomInstallationDirectory"
	r := m.deploy(p, setting, m.path("www")+"/#{Site}", "Site", "site")
	m.want(r, succeeded, "")
	m.wantLog("\tInfo\t" + custom + "\n")
	checkReceipt(t, r.GetReceipt(), p, custom, map[string]string{"app.txt": "app", "conf/a.ini": "x"})
	if m.read("www", "site", "old.txt") != "old" {
		t.Error("an unrelated file was touched")
	}
	r = m.deploy(p, setting, custom, setting+"ShouldBePurgedBeforeDeployment", "True", setting+"PurgeExclusions", "data\nmade.*")
	m.want(r, succeeded, "")
	for name, there := range map[string]bool{"old.txt": false, "gone": false, "data/keep.db": true, "made.txt": true, "app.txt": true} {
		if _, err := os.Stat(filepath.Join(custom, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	r = m.deploy(p, setting, custom)
	m.want(r, succeeded, "")
	m.wantLog("3 files to " + custom + "; 2 of them were the same already")
	r = m.deploy(p, setting, "relative/#{Password}", "!Password", "hunter22")
	m.want(r, failed, "relative/********") // abuse 73
	for _, bad := range []string{"relative/dir", "#{Nobody}/x", m.path("apps"), m.dir, "#{Octopus.Action.Package.InstallationDirectoryPath}/x"} {
		m.want(m.deploy(p, setting, bad), failed, "")
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := job.Sweep(filepath.Join(dir, "none"), nil, time.Now()); err != nil {
		t.Error(err)
	}
	if err := job.Sweep(dir, nil, time.Now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
	sum := sha256.Sum256([]byte("live"))
	for _, name := range []string{hex.EncodeToString(sum[:16]), "dead"} {
		if err := os.MkdirAll(filepath.Join(dir, ".slipway", name, "x"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := job.Sweep(dir, []string{"live"}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, ".slipway")); len(left) != 2 {
		t.Fatal("a young folder, perhaps of another agent, was removed")
	}
	if err := job.Sweep(dir, []string{"live"}, time.Now().Add(time.Hour)); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, ".slipway")); len(left) != 1 || left[0].Name() == "dead" {
		t.Error(left)
	}
}
