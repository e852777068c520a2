package fleet_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/engine"
	"github.com/slipwayhq/slipway/internal/fleet"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/steps"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

const (
	space = resource.DefaultSpace
	sweep = 15 * time.Second
	// soon is how long anything may take that waits for nothing: the fleet is
	// woken, it does not idle until its next look.
	soon = time.Second
)

// world is a server without gateway and API in a bubble of its own time: real
// store, real engine, real use cases, and machines that the stories move.
type world struct {
	t        *testing.T
	db       *store.DB
	deploys  *deploy.Service
	docs     *documents.Service
	who      app.Caller
	env      *resource.Environment
	project  *resource.Project
	prober   *prober
	agents   agents
	releases int
	stops    map[string]func()
}

// story runs in a bubble: time passes at once when everybody waits.
func story(t *testing.T, tell func(w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.startFleet()
		tell(w)
	})
}

func newWorld(t *testing.T) *world {
	t.Helper()
	folder := t.TempDir()
	keys, err := secret.Load(folder)
	check(t, err)
	db, err := store.Open(t.Context(), store.Config{Path: folder, Keys: keys, Now: time.Now})
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	storetest.Seed(t, db)
	w := &world{t: t, db: db, deploys: deploy.New(db), who: administrator(t), stops: map[string]func(){}}
	w.docs, err = documents.New(documents.Config{
		DB: db, HashToken: secret.Hash, NewToken: secret.NewToken, CheckHealth: fleet.CheckHealth,
	})
	check(t, err)
	w.env = &resource.Environment{Name: "Production"}
	storetest.Insert(t, db, w.env)
	w.project = w.newProject("Shop")
	w.prober = &prober{db: db, answers: map[string]answer{}}
	w.agents = agents{w: w, up: map[string]bool{}, does: map[string]behaviour{}, starts: map[string][]string{}}
	w.startEngine()
	w.run("agents", w.agents.run)
	t.Cleanup(func() { w.stop("fleet"); w.stop("agents"); w.stop("engine") })
	return w
}

func (w *world) newProject(name string) *resource.Project {
	w.t.Helper()
	p := storetest.Project(w.t, w.db, name)
	storetest.Insert(w.t, w.db, &resource.Channel{Name: "Default", ProjectID: p.ID, IsDefault: true})
	w.process(p, step("Install", "web"))
	return p
}

// process replaces the steps of a project.
func (w *world) process(p *resource.Project, list ...resource.Step) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		process, err := store.Get[resource.DeploymentProcess](tx, p.DeploymentProcessID)
		if err != nil {
			return err
		}
		process.Steps = list
		return store.Update(tx, process)
	})
}

// step is a step with one script; without a role it runs on the server.
func step(name, role string, more ...string) resource.Step {
	s := resource.Step{Name: name, Properties: resource.Properties{}, Actions: []resource.Action{{
		Name: name, ActionType: "Octopus.Script",
		Properties: resource.Properties{steps.ScriptBody: resource.Text("echo " + name), steps.ScriptSyntax: resource.Text("Bash")},
	}}}
	if role == "" {
		s.Actions[0].Properties[steps.RunOnServer] = resource.Text("true")
	} else {
		s.Properties[steps.TargetRoles] = resource.Text(role)
	}
	for _, flag := range more {
		s.Actions[0].Properties[flag] = resource.Text("True")
	}
	return s
}

// run runs a part of the server until stop is called with its name.
func (w *world) run(name string, part func(ctx context.Context) error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := part(ctx); err != nil {
			w.t.Errorf("%s: %v", name, err)
		}
	}()
	w.stops[name] = func() { cancel(nil); <-done }
}

func (w *world) stop(name string) {
	if stop := w.stops[name]; stop != nil {
		stop()
		delete(w.stops, name)
	}
}

func (w *world) startEngine() {
	w.run("engine", engine.New(engine.Config{DB: w.db, Node: "node-1", Logger: w.logger(), Now: time.Now}).Run)
}

func (w *world) startFleet() {
	w.run("fleet", fleet.New(fleet.Config{DB: w.db, Deploy: w.deploys, Prober: w.prober, Logger: w.logger(), Sweep: sweep, Now: time.Now}).Run)
}

// logger makes every error that the parts log an error of the test.
func (w *world) logger() *slog.Logger { return slog.New(complains{w.t}) }

type complains struct{ t *testing.T }

func (c complains) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }
func (c complains) WithAttrs([]slog.Attr) slog.Handler               { return c }
func (c complains) WithGroup(string) slog.Handler                    { return c }
func (c complains) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	c.t.Errorf("logged: %s", text)
	return nil
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func administrator(t *testing.T) app.Caller {
	t.Helper()
	role, ok := authz.BuiltInRole(resource.RoleSystemAdministrator)
	if !ok {
		t.Fatal("there is no administrator's role")
	}
	return app.Caller{Subject: authz.Subject{UserID: "Users-1", Username: "admin", Grants: []authz.Grant{{Permissions: authz.Granted(role, true)}}}}
}

func (w *world) write(fn func(tx *store.Tx) error) {
	w.t.Helper()
	check(w.t, w.db.Write(context.Background(), fn))
}

func (w *world) read(fn func(tx *store.Tx) error) {
	w.t.Helper()
	check(w.t, w.db.Read(context.Background(), fn))
}

// within waits until a condition over the store holds, for at most d of the
// bubble's time.
func (w *world) within(d time.Duration, what string, holds func(tx *store.Tx) (bool, error)) {
	w.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	for {
		ok := false
		w.read(func(tx *store.Tx) (err error) {
			ok, err = holds(tx)
			return err
		})
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			w.t.Fatalf("waited %s in vain for: %s\n%s", d, what, w.state())
		}
	}
}

// pass lets time pass.
func (w *world) pass(d time.Duration) { <-time.After(d) }

// state describes machines, debts and tasks, for failures.
func (w *world) state() string {
	var text strings.Builder
	w.read(func(tx *store.Tx) error {
		machines, _, err := store.List[resource.Machine](tx, store.Query{AllSpaces: true})
		for i := range machines {
			fmt.Fprintf(&text, "%s %s: %s, %s\n", machines[i].ID, machines[i].Name, machines[i].HealthStatus, machines[i].StatusSummary)
		}
		if err != nil {
			return err
		}
		owed, err := store.OwedAll(tx)
		for i := range owed {
			fmt.Fprintf(&text, "owed %+v\n", owed[i])
		}
		if err != nil {
			return err
		}
		tasks, _, err := store.ListTasks(tx, store.TaskQuery{Take: 100})
		for i := range tasks {
			fmt.Fprintf(&text, "%s %s %s: %s %s %s\n", tasks[i].ID, tasks[i].Name, tasks[i].Description, tasks[i].State, tasks[i].Error, tasks[i].WaitsFor)
		}
		return err
	})
	return text.String()
}

// register adds a machine as `slipway agent register` does; its agent does not
// run yet.
func (w *world) register(name string, roles ...string) string {
	w.t.Helper()
	doc, err := w.docs.Create(context.Background(), w.who, space, w.polling(name, roles...))
	check(w.t, err)
	return *doc.Head().ID
}

func (w *world) polling(name string, roles ...string) *resource.Machine {
	m := &resource.Machine{EnvironmentIDs: []string{w.env.ID}, Roles: roles}
	m.SpaceID, m.Name, m.MachinePolicyID = space, name, "MachinePolicies-1"
	m.Endpoint = resource.PollingEndpoint("poll://"+name+"/", strings.Repeat("A", 64))
	return m
}

// machine is a machine that is registered and connected.
func (w *world) machine(name string, roles ...string) string {
	w.t.Helper()
	id := w.register(name, roles...)
	w.connect(id)
	return id
}

// machines are n of them, once the fleet has looked at all.
func (w *world) machines(n int) []string {
	w.t.Helper()
	var ids []string
	for i := range n {
		ids = append(ids, w.machine(fmt.Sprintf("web-%02d", i+1), "web"))
	}
	for _, id := range ids {
		w.is(id, resource.Healthy)
	}
	w.quiet()
	return ids
}

// connect starts the machine's agent and opens its session.
func (w *world) connect(id string) {
	w.t.Helper()
	w.pass(time.Millisecond)
	w.agents.set(id, true)
	w.write(func(tx *store.Tx) error {
		return store.OpenSession(tx, &store.Session{Machine: id, Node: "node-1", State: store.SessionConnected, Facts: map[string]string{
			"OS": "linux", "OSDescription": "Debian 13", "Architecture": "amd64", "Shell": "Bash", "ShellVersion": "5.2", "Version": "1.2.3",
		}})
	})
}

// disconnect ends the machine's agent and its link.
func (w *world) disconnect(id string) {
	w.t.Helper()
	w.agents.set(id, false)
	w.write(func(tx *store.Tx) error {
		session, err := store.GetSession(tx, id)
		if err != nil {
			return err
		}
		return store.CloseSession(tx, id, session.Generation, store.SessionLost, "test")
	})
}

func (w *world) get(id string) *resource.Machine {
	w.t.Helper()
	var m *resource.Machine
	w.read(func(tx *store.Tx) (err error) {
		m, err = store.Get[resource.Machine](tx, id)
		return err
	})
	return m
}

// change edits a machine as a person does.
func (w *world) change(id string, edit func(m *resource.Machine)) {
	w.t.Helper()
	m := w.get(id)
	edit(m)
	_, err := w.docs.Update(context.Background(), w.who, space, id, m)
	check(w.t, err)
}

// is waits until the machine's health is as wanted; parts are of its summary.
func (w *world) is(id, health string, parts ...string) {
	w.t.Helper()
	w.isWithin(10*time.Second, id, health, parts...)
}

func (w *world) isWithin(d time.Duration, id, health string, parts ...string) {
	w.t.Helper()
	w.within(d, fmt.Sprintf("%s is %s (%s)", id, health, parts), func(tx *store.Tx) (bool, error) {
		m, err := store.Get[resource.Machine](tx, id)
		if err != nil || m.HealthStatus != health {
			return false, err
		}
		for _, part := range parts {
			if !strings.Contains(m.StatusSummary, part) {
				return false, nil
			}
		}
		return true, nil
	})
}

// quiet waits until no task is under way or queued.
func (w *world) quiet() {
	w.t.Helper()
	w.within(time.Hour, "no task is left", func(tx *store.Tx) (bool, error) {
		_, left, err := store.ListTasks(tx, store.TaskQuery{States: []store.TaskState{store.TaskQueued, store.TaskExecuting, store.TaskCancelling}})
		return left == 0, err
	})
}

// release makes the project's next release.
func (w *world) release(p *resource.Project) *resource.Release {
	w.t.Helper()
	w.releases++
	release, _, err := w.deploys.CreateRelease(context.Background(), w.who, space, deploy.NewRelease{Project: p.ID, Version: fmt.Sprintf("%d.0.0", w.releases)})
	check(w.t, err)
	return release
}

// ship deploys the project's next release, to chosen machines where some are
// named, and returns it with its task.
func (w *world) ship(p *resource.Project, only ...string) (release *resource.Release, task string) {
	w.t.Helper()
	release = w.release(p)
	return release, w.deploy(p, release, only...)
}

func (w *world) deploy(p *resource.Project, release *resource.Release, only ...string) string {
	w.t.Helper()
	made, err := w.deploys.CreateDeployments(context.Background(), w.who, space, deploy.NewDeployment{
		Project: p.ID, Release: release.ID, Environments: []string{w.env.ID}, SpecificMachines: only,
	})
	check(w.t, err)
	return made[0].TaskID
}

func (w *world) task(id string) *store.Task {
	w.t.Helper()
	var task *store.Task
	w.read(func(tx *store.Tx) (err error) {
		task, err = store.GetTask(tx, id)
		return err
	})
	return task
}

// ends waits for the end of a task.
func (w *world) ends(id string, want store.TaskState) *store.Task {
	w.t.Helper()
	w.within(time.Hour, id+" ends", func(tx *store.Tx) (bool, error) {
		task, err := store.GetTask(tx, id)
		return err == nil && task.State.Completed(), err
	})
	task := w.task(id)
	if task.State != want {
		w.t.Fatalf("%s is %s (%s), want %s\n%s", id, task.State, task.Error, want, w.state())
	}
	return task
}

// tasks are the tasks of a kind, oldest first.
func (w *world) tasks(name string) []store.Task {
	w.t.Helper()
	var list []store.Task
	w.read(func(tx *store.Tx) error {
		newest, _, err := store.ListTasks(tx, store.TaskQuery{Name: name, Take: 1000})
		for i := range newest {
			list = append([]store.Task{newest[i]}, list...)
		}
		return err
	})
	return list
}

func (w *world) catchUps() []store.Task { w.t.Helper(); return w.tasks(string(rollout.CatchUp)) }

// runs says which release of the project the machine was proved to run.
func (w *world) runs(id string, p *resource.Project) string {
	w.t.Helper()
	release := ""
	w.read(func(tx *store.Tx) error {
		deployed, err := store.DeployedOn(tx, id)
		for i := range deployed {
			if deployed[i].ProjectID == p.ID {
				release = deployed[i].ReleaseID
			}
		}
		return err
	})
	return release
}

func (w *world) wants(p *resource.Project) string {
	w.t.Helper()
	release := ""
	w.read(func(tx *store.Tx) error {
		desired, err := store.DesiredIn(tx, w.env.ID)
		for i := range desired {
			if desired[i].ProjectID == p.ID {
				release = desired[i].ReleaseID
			}
		}
		return err
	})
	return release
}

func (w *world) owed(id string) []store.Owed {
	w.t.Helper()
	var owed []store.Owed
	w.read(func(tx *store.Tx) (err error) {
		owed, err = store.OwedTo(tx, id)
		return err
	})
	return owed
}

// answer is how a machine answers a health check.
type answer func(ctx context.Context) (fleet.Probed, error)

// prober stands for the gateway: a machine with a session is well, one without
// cannot be reached, and the stories may say otherwise.
type prober struct {
	db      *store.DB
	mu      sync.Mutex
	answers map[string]answer
	asked   []question
}

type question struct {
	machine, bash, powershell string
	timeout                   time.Duration
	at                        time.Time
}

func (p *prober) set(machine string, a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[machine] = a
}

func (p *prober) of(machine string) []question {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []question
	for _, q := range p.asked {
		if q.machine == machine {
			list = append(list, q)
		}
	}
	return list
}

func (p *prober) Probe(ctx context.Context, machine, bash, powershell string, timeout time.Duration) (fleet.Probed, error) {
	p.mu.Lock()
	p.asked = append(p.asked, question{machine, bash, powershell, timeout, time.Now()})
	told := p.answers[machine]
	p.mu.Unlock()
	if told != nil {
		return told(ctx)
	}
	var session *store.Session
	err := p.db.Read(ctx, func(tx *store.Tx) (err error) {
		session, err = store.GetSession(tx, machine)
		return err
	})
	if err == nil && (session == nil || session.State != store.SessionConnected) {
		err = resource.Errorf(resource.Unavailable, "The agent of '%s' is not connected to this server.", machine)
	}
	return fleet.Probed{}, err
}

// behaviour is what an agent does with an attempt; the reply is empty for one
// that it keeps to itself.
type behaviour func(attempt string) rollout.Outcome

// agents are the machines' agents: each takes what is delivered to it while it
// is up.
type agents struct {
	w      *world
	mu     sync.Mutex
	up     map[string]bool
	does   map[string]behaviour
	starts map[string][]string // attempts by machine, in order
}

func (a *agents) set(machine string, up bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.up[machine] = up
}

// tell sets what a machine does from now on; nil: it succeeds.
func (a *agents) tell(machine string, b behaviour) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.does[machine] = b
}

func (a *agents) started(machine string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.starts[machine]...)
}

func (a *agents) run(ctx context.Context) error {
	wake, stop := a.w.db.Watch(store.TopicEffects)
	defer stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		a.mu.Lock()
		var up []string
		for machine, yes := range a.up {
			if yes {
				up = append(up, machine)
			}
		}
		a.mu.Unlock()
		for _, machine := range up {
			if err := a.serve(ctx, machine); err != nil && ctx.Err() == nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-tick.C:
		}
	}
}

func (a *agents) serve(ctx context.Context, machine string) error {
	var list []store.Delivery
	err := a.w.db.Read(ctx, func(tx *store.Tx) (err error) {
		list, err = store.Deliveries(tx, machine, 100)
		return err
	})
	for i := range list {
		d := &list[i]
		if err == nil {
			err = a.w.db.Write(ctx, func(tx *store.Tx) error { return a.take(tx, machine, d) })
		}
	}
	return err
}

func (a *agents) take(tx *store.Tx, machine string, d *store.Delivery) error {
	if err := store.Delivered(tx, d); err != nil {
		return err
	}
	outcome := rollout.OutcomeNone
	switch d.Kind {
	case rollout.StartAttempt:
		if sent, err := store.MarkSent(tx, d.Attempt); err != nil || !sent {
			return err
		}
		a.mu.Lock()
		a.starts[machine] = append(a.starts[machine], d.Attempt)
		does := a.does[machine]
		a.mu.Unlock()
		outcome = rollout.OutcomeSucceeded
		if does != nil {
			outcome = does(d.Attempt)
		}
	case rollout.CancelAttempt:
		outcome = rollout.OutcomeCanceled
	}
	if outcome == rollout.OutcomeNone {
		return nil
	}
	return end(tx, d.Attempt, outcome)
}

func end(tx *store.Tx, attempt string, outcome rollout.Outcome) error {
	id, _, _ := strings.Cut(attempt, ".")
	return store.Post(tx, id, "ended/"+attempt, rollout.Event{
		At: tx.Now().UnixMilli(), Kind: rollout.Ended, Attempt: attempt, End: &rollout.End{Outcome: outcome, ExitCode: code(outcome), Reason: "it ended " + string(outcome)},
	}, nil)
}

func code(outcome rollout.Outcome) int {
	if outcome == rollout.OutcomeSucceeded {
		return 0
	}
	return 1
}

// hold keeps a machine's attempts running until the returned function ends
// those that were started.
func (w *world) hold(machine string) (release func()) {
	var held []string
	var mu sync.Mutex
	w.agents.tell(machine, func(attempt string) rollout.Outcome {
		mu.Lock()
		defer mu.Unlock()
		held = append(held, attempt)
		go w.post(attempt, rollout.Event{Kind: rollout.Started, Attempt: attempt})
		return rollout.OutcomeNone
	})
	return func() {
		w.agents.tell(machine, nil)
		mu.Lock()
		defer mu.Unlock()
		for _, attempt := range held {
			w.write(func(tx *store.Tx) error { return end(tx, attempt, rollout.OutcomeSucceeded) })
		}
	}
}

func (w *world) post(attempt string, e rollout.Event) {
	id, _, _ := strings.Cut(attempt, ".")
	if err := w.db.Write(context.Background(), func(tx *store.Tx) error {
		e.At = tx.Now().UnixMilli()
		return store.Post(tx, id, string(e.Kind)+"/"+attempt, e, nil)
	}); err != nil {
		w.t.Error(err)
	}
}

func failing(string) rollout.Outcome { return rollout.OutcomeFailed }
func silent(string) rollout.Outcome  { return rollout.OutcomeNone }
