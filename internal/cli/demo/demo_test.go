package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/cli/demo"
	"github.com/slipwayhq/slipway/internal/cli/demo/balancer"
	"github.com/slipwayhq/slipway/internal/cli/demo/mark"
	"github.com/slipwayhq/slipway/internal/cli/demo/shop"
	"github.com/slipwayhq/slipway/internal/cli/demo/traffic"
)

const asSlipway = "DEMO_TEST_AS_SLIPWAY"

// TestMain lets the test program be slipway for the demo's own scripts.
func TestMain(m *testing.M) {
	if os.Getenv(asSlipway) == "" {
		os.Exit(m.Run())
	}
	c := &console.Console{Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Now: time.Now}
	root := &cobra.Command{Use: "slipway", SilenceUsage: true}
	root.AddCommand(demo.Command(c))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	err := root.ExecuteContext(ctx)
	cancel()
	if err != nil {
		os.Exit(1)
	}
}

// site is the demo without a server: its balancer, its scripts and customers.
type site struct {
	folder    string
	addresses demo.Addresses
	attempts  int
}

func newSite(t *testing.T) *site {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the demo's scripts are for a POSIX shell")
	}
	s := &site{folder: t.TempDir()}
	file := filepath.Join(s.folder, "balancer.json")
	serve := exec.CommandContext(t.Context(), os.Args[0], "demo", "balancer", "serve", "--state", file, "--site", "Production")
	serve.Env = append(os.Environ(), asSlipway+"=1", "SLIPWAY_DEMO_TOKEN=secret")
	serve.Stderr = os.Stderr
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = serve.Wait() })
	eventually(t, "the balancer serves", func() bool {
		data, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(data, &s.addresses) == nil
	})
	return s
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline, tick := time.After(30*time.Second), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

// variables are what a server would give the scripts.
func (s *site) variables(machine, action, release string) map[string]string {
	s.attempts++
	return map[string]string{
		"Demo.Slipway": os.Args[0], "Demo.Folder": s.folder, "Demo.Balancer": s.addresses.API, "Demo.Token": "secret",
		"ShopDb": demo.Database(s.folder, "Production"), "Octopus.Machine.Name": machine,
		"Octopus.Environment.Name": "Production", "Octopus.Release.Number": release, "Octopus.Action.Name": action,
		"Octopus.Deployment.Id": "Deployments-" + release, "Slipway.Attempt.Id": fmt.Sprint("attempt-", s.attempts),
	}
}

// run runs one script as an agent would.
func (s *site) run(t *testing.T, dir, machine, action, release, body string) {
	t.Helper()
	var prelude strings.Builder
	prelude.WriteString("get_octopusvariable() { case \"$1\" in\n")
	for name, value := range s.variables(machine, action, release) {
		fmt.Fprintf(&prelude, "%s) printf %%s '%s' ;;\n", name, value)
	}
	prelude.WriteString("esac; }\n")
	script := exec.CommandContext(t.Context(), "sh", "-c", prelude.String()+body)
	script.Dir, script.Env = dir, append(os.Environ(), asSlipway+"=1")
	if out, err := script.CombinedOutput(); err != nil {
		t.Fatalf("%s on %s: %v\n%s", action, machine, err, out)
	}
}

// install does what the package step would: extract and configure.
func (s *site) install(t *testing.T, machine, release string) string {
	t.Helper()
	folder := filepath.Join(s.folder, "installed", machine, release)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := shop.WriteSource(folder, release, "Shop"); err != nil {
		t.Fatal(err)
	}
	for file, pairs := range map[string][]string{
		"appsettings.json": {`"Release": "unconfigured"`, `"Release": "` + release + `"`, `"Environment": "unconfigured"`, `"Environment": "Production"`},
		"Web.config":       {"Data Source=unconfigured", demo.Database(s.folder, "Production")},
	} {
		name := filepath.Join(folder, file)
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strings.NewReplacer(pairs...).Replace(string(data))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

type action struct {
	Name, ActionType string
	Properties       map[string]string
}

type step struct {
	Name       string
	Properties map[string]string
	Actions    []action
}

// process is the demo's process as it goes to the server.
func process(t *testing.T) []step {
	t.Helper()
	data, err := json.Marshal(demo.Steps())
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	if err := json.Unmarshal(data, &steps); err != nil {
		t.Fatal(err)
	}
	return steps
}

// roll plays the whole process by hand, one web machine after the other.
func (s *site) roll(t *testing.T, release string, migrates bool) {
	t.Helper()
	for _, step := range process(t) {
		if step.Properties["Octopus.Step.ConditionVariableExpression"] != "" && !migrates {
			continue
		}
		machines := map[string][]string{"web": {"web-1", "web-2"}, "db": {"db-1"}, "lb": {"lb-1"}}[step.Properties["Octopus.Action.TargetRoles"]]
		if len(machines) == 0 {
			t.Fatalf("step %s has no machines", step.Name)
		}
		for _, machine := range machines {
			for _, action := range step.Actions {
				dir, body := s.folder, action.Properties["Octopus.Action.Script.ScriptBody"]
				if action.ActionType == "Octopus.TentaclePackage" {
					dir, body = s.install(t, machine, release), demo.PostDeploy
				}
				s.run(t, dir, machine, action.Name, release, body)
			}
		}
	}
}

// TestTheScriptsKeepTheirPromises runs the demo's very scripts, in the order
// of its process, while customers shop: one release with a migration, one
// without, and in the end a machine that fails, which must show.
func TestTheScriptsKeepTheirPromises(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	customers := traffic.Start(ctx, traffic.Config{
		URL: s.addresses.Sites["Production"], Workers: 2, Every: 5 * time.Millisecond, Now: time.Now,
		Environment: "Production", Database: demo.Database(s.folder, "Production"),
	})
	t.Cleanup(func() { cancel(nil); customers.Wait() })
	customers.Allow("1.0.0")
	s.roll(t, "1.0.0", true)
	eventually(t, "both machines serve", func() bool {
		served := customers.Stats().Served
		return served["web-1"] > 0 && served["web-2"] > 0
	})
	holding := customers.Stats().Holding
	if holding == 0 {
		t.Error("no holding page came with the migration")
	}
	customers.Allow("1.0.0", "1.1.0")
	s.roll(t, "1.1.0", false)
	customers.Allow("1.1.0")
	eventually(t, "both machines serve the new release", func() bool {
		first := customers.Stats().First
		return !first["web-1 1.1.0"].IsZero() && !first["web-2 1.1.0"].IsZero()
	})
	stats := customers.Stats()
	if stats.Failed+stats.Stale > 0 || stats.Holding != holding {
		t.Errorf("%d failed, %d stale, %d more holding pages: %v", stats.Failed, stats.Stale, stats.Holding-holding, stats.Examples)
	}
	marks, err := mark.Read(s.folder)
	if err != nil || mark.StartedTwice(marks) != 0 || len(mark.Unfinished(marks)) != 0 || len(marks) != 2*(3+2*4*2) {
		t.Errorf("%d marks, %d double starts, %v unfinished, %v", len(marks), mark.StartedTwice(marks), mark.Unfinished(marks), err)
	}
	s.breakOne(t, customers)
	s.stop(t)
}

// breakOne stops a machine's shop behind the balancer's back: the customers
// must see it.
func (s *site) breakOne(t *testing.T, customers *traffic.Traffic) {
	t.Helper()
	if err := shop.Stop(t.Context(), filepath.Join(s.folder, "machines", "web-2", "Production")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "customers see the broken machine", func() bool { return customers.Stats().Failed > 0 })
	remote := balancer.Remote{URL: s.addresses.API, Token: "secret"}
	if err := remote.Drain(t.Context(), "Production", "web-2"); err != nil {
		t.Error(err)
	}
}

func (s *site) stop(t *testing.T) {
	t.Helper()
	if err := shop.Stop(t.Context(), filepath.Join(s.folder, "machines", "web-1", "Production")); err != nil {
		t.Error(err)
	}
}

// good is a report of a demo in which every promise held.
func good() *demo.Report {
	r := &demo.Report{Requests: 1000, Holding: 7, ServerKilled: true, RunningAtKill: 2}
	r.NewMachine.Release = "1.0.0"
	r.Vanished.State = "Unavailable"
	for _, environment := range []string{"Test", "Production"} {
		r.Deployed("1.0.0", environment, 7)
		r.Deployed("1.1.0", environment, 0)
	}
	return r
}

// TestEachPromiseCanBreak: a verdict that cannot be bad says nothing.
func TestEachPromiseCanBreak(t *testing.T) {
	t.Parallel()
	if r := good(); r.Broken() != 0 {
		t.Fatalf("a good report breaks %d promises", r.Broken())
	}
	for name, spoil := range map[string]func(*demo.Report){
		"deployments":             func(r *demo.Report) { r.Releases = r.Releases[:1] },
		"requests":                func(r *demo.Report) { r.Requests = 999 },
		"failed":                  func(r *demo.Report) { r.Failed = 1 },
		"stale":                   func(r *demo.Report) { r.Stale = 1 },
		"no holding page":         func(r *demo.Report) { r.Releases[0].Holding = 0 },
		"holding without reason":  func(r *demo.Report) { r.Releases[1].Holding = 1 },
		"not killed":              func(r *demo.Report) { r.ServerKilled = false },
		"nothing ran at the kill": func(r *demo.Report) { r.RunningAtKill = 0 },
		"double start":            func(r *demo.Report) { r.StartedTwice = 1 },
		"unfinished":              func(r *demo.Report) { r.Unfinished(1) },
		"new machine":             func(r *demo.Report) { r.NewMachine.Release = "1.1.0" },
		"no new machine":          func(r *demo.Report) { r.NewMachine.Release = "" },
		"vanished is healthy":     func(r *demo.Report) { r.Vanished.State = "Healthy" },
		"vanished is not known":   func(r *demo.Report) { r.Vanished.State = "" },
	} {
		r := good()
		if spoil(r); r.Broken() == 0 {
			t.Errorf("%s: no promise is broken", name)
		}
	}
}

// TestTheJSONIsOneLine with the names that others read.
func TestTheJSONIsOneLine(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(good())
	if err != nil || bytes.ContainsRune(data, '\n') {
		t.Fatalf("%s, %v", data, err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"releases", "requests", "failedRequests", "staleResponses", "holdingPageRequests", "scriptsStartedTwice", "serverKilled",
		"attemptsRunningAtKill", "newMachine", "vanishedMachine", "succeeded", "seconds",
	} {
		if _, ok := fields[name]; !ok {
			t.Errorf("%s is missing in %s", name, data)
		}
	}
	if string(fields["newMachine"]) != `{"release":"1.0.0","secondsToServing":0}` || string(fields["vanishedMachine"]) != `{"state":"Unavailable"}` {
		t.Errorf("%s", data)
	}
}
