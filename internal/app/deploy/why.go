package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// Why is the truth about one machine: what it runs and what keeps it from
// running anything else. Times are unix milliseconds.
type Why struct {
	Machine *resource.Machine
	Link    WhyLink
	Runs    []WhyRuns
	Waits   []WhyWaits
	Parts   []WhyPart // newest first
}

// WhyLink is the link to the machine's agent.
type WhyLink struct {
	State  store.SessionState // "" when there never was one
	Since  int64
	Reason string
}

// WhyRuns is a project of an environment as the machine has it.
type WhyRuns struct {
	Project, Environment rollout.Ref
	Release              rollout.Ref // empty: it was proved to run none
	Since                int64
	TaskID               string
	Wanted               rollout.Ref // the release that the environment's machines are to run
	Text                 string
}

// WhyWaits is one thing that the machine, or a task on it, waits for.
type WhyWaits struct {
	Kind   WaitKind
	TaskID string // the task that waits; "" for the machine as a whole
	Holder string // the task that holds what is waited for
	Since  int64
	Until  int64 // when it ends by itself; 0: never
	Text   string
}

// WaitKind says what is waited for.
type WaitKind string

// The kinds of wait.
const (
	WaitsForRelease WaitKind = "Release" // owed to it
	WaitsForSlot    WaitKind = "Slot"    // another task works on the machine
	WaitsForLock    WaitKind = "Lock"    // another deployment of the project to the environment
	WaitsForRetry   WaitKind = "Retry"
	WaitsForAnswer  WaitKind = "Answer"
	WaitsForTurn    WaitKind = "Turn" // its step or window
	WaitsForAgent   WaitKind = "Agent"
	WaitsForHealth  WaitKind = "Health"
)

// WhyPart is the machine's part in one rollout.
type WhyPart struct {
	TaskID      string
	Description string
	State       store.TaskState
	At          int64 // when the task ended, or began
	Outcome     string
	Text        string
}

// whyParts is how many rollouts are looked back at.
const whyParts = 10

// Why reads it. Tasks and projects that the caller may not see are left out.
func (s *Service) Why(ctx context.Context, who app.Caller, space, key string) (why *Why, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		machine, err := store.Find[resource.Machine](tx, space, key)
		if err != nil {
			return err
		}
		if !seesMachine(who, machine) {
			return resource.Missing(key)
		}
		r := &whyReader{tx: tx, who: who, why: &Why{Machine: machine}, now: tx.Now().UnixMilli()}
		for _, read := range []func() error{r.link, r.runs, r.debts, r.slots, r.parts, r.queue} {
			if err := read(); err != nil {
				return fmt.Errorf("explain %s: %w", machine.ID, err)
			}
		}
		why = r.why
		return nil
	})
	return why, err
}

// seesMachine: a machine in several environments is seen by who may see any.
func seesMachine(who app.Caller, m *resource.Machine) bool {
	return slices.ContainsFunc(m.EnvironmentIDs, func(env string) bool {
		return authz.Can(who.Subject, authz.MachineView, authz.Scope{Space: m.SpaceID, Environment: env})
	})
}

type whyReader struct {
	tx   *store.Tx
	who  app.Caller
	why  *Why
	now  int64
	refs map[string]rollout.Ref
}

func (r *whyReader) add(w WhyWaits) { r.why.Waits = append(r.why.Waits, w) }

// at is a moment as sentences have it.
func at(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

func (r *whyReader) link() error {
	m := r.why.Machine
	session, err := store.GetSession(r.tx, m.ID)
	if err != nil {
		return err
	}
	if session != nil {
		r.why.Link = WhyLink{State: session.State, Since: session.ConnectedAt, Reason: session.Reason}
		if session.State != store.SessionConnected {
			r.why.Link.Since = session.LostAt
		}
	}
	switch {
	case m.IsDisabled:
		r.add(WhyWaits{Kind: WaitsForHealth, Text: "It is disabled: no deployment uses it until it is enabled."})
	case session == nil:
		r.add(WhyWaits{Kind: WaitsForAgent, Text: "Its agent has never connected."})
	case session.State != store.SessionConnected:
		text := fmt.Sprintf("Its agent is not connected since %s (%s): %s.", at(session.LostAt), strings.ToLower(string(session.State)), strings.TrimSuffix(session.Reason, "."))
		if session.State == store.SessionQuarantined {
			text += " It gets no work until a person confirms it."
		}
		r.add(WhyWaits{Kind: WaitsForAgent, Since: session.LostAt, Text: text})
	}
	if !m.IsDisabled && m.HealthStatus != resource.Healthy && m.HealthStatus != resource.HealthWarnings {
		r.add(WhyWaits{Kind: WaitsForHealth, Since: unix(m.HealthCheckedOn), Text: strings.TrimSpace("Its health is " + m.HealthStatus + ". " + m.StatusSummary)})
	}
	return nil
}

func unix(t resource.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Std().UnixMilli()
}

// runs puts what the machine was proved to run beside what its environments
// want.
func (r *whyReader) runs() error {
	deployed, err := store.DeployedOn(r.tx, r.why.Machine.ID)
	if err != nil {
		return err
	}
	for _, env := range r.why.Machine.EnvironmentIDs {
		desired, err := store.DesiredIn(r.tx, env)
		if err != nil {
			return err
		}
		for i := range desired {
			d := &desired[i]
			n := slices.IndexFunc(deployed, func(o store.Deployed) bool {
				return o.ProjectID == d.ProjectID && o.EnvironmentID == d.EnvironmentID && o.TenantID == d.TenantID
			})
			has := store.Deployed{ProjectID: d.ProjectID, EnvironmentID: d.EnvironmentID}
			if n >= 0 {
				has = deployed[n]
				deployed = slices.Delete(deployed, n, n+1)
			} else if concerned, err := r.concerned(d); err != nil || !concerned {
				if err != nil {
					return err
				}
				continue
			}
			r.addRuns(&has, d.ReleaseID)
		}
	}
	for i := range deployed { // where the environment wants no release of the project
		r.addRuns(&deployed[i], "")
	}
	return nil
}

// concerned says whether a step of the desired release is for the machine.
func (r *whyReader) concerned(d *store.Desired) (bool, error) {
	release, err := store.Get[resource.Release](r.tx, d.ReleaseID)
	if err != nil {
		return false, gone(err)
	}
	concerned, _, err := concernedBy(r.tx, release, []string{r.why.Machine.ID})
	return len(concerned) > 0, err
}

func (r *whyReader) addRuns(has *store.Deployed, wanted string) {
	if !r.sees(has.ProjectID, has.EnvironmentID) {
		return
	}
	runs := WhyRuns{
		Project: r.name(has.ProjectID), Environment: r.name(has.EnvironmentID), Release: r.name(has.ReleaseID),
		Since: has.At, TaskID: has.TaskID, Wanted: r.name(wanted),
	}
	what := runs.Project.Name + " in " + runs.Environment.Name
	switch {
	case has.ReleaseID == "":
		runs.Text = fmt.Sprintf("It was not proved to run any release of %s; %s is wanted there.", what, runs.Wanted.Name)
	default:
		runs.Text = fmt.Sprintf("It runs %s %s since %s, by %s.", what, runs.Release.Name, at(has.At), has.TaskID)
		if wanted != "" && wanted != has.ReleaseID {
			runs.Text += fmt.Sprintf(" The environment wants %s.", runs.Wanted.Name)
		}
	}
	r.why.Runs = append(r.why.Runs, runs)
}

func (r *whyReader) sees(project, environment string) bool {
	scope := authz.Scope{Space: r.why.Machine.SpaceID, Project: project, Environment: environment}
	if p, err := store.Get[resource.Project](r.tx, project); err == nil {
		scope.ProjectGroup = p.ProjectGroupID
	}
	return authz.Can(r.who.Subject, authz.DeploymentView, scope)
}

// name is a document by its name, or by its id once it is gone.
func (r *whyReader) name(id string) rollout.Ref {
	if id == "" {
		return rollout.Ref{}
	}
	if ref, known := r.refs[id]; known {
		return ref
	}
	ref := rollout.Ref{ID: id, Name: id}
	switch {
	case strings.HasPrefix(id, resource.ProjectKind.IDPrefix+"-"):
		if p, err := store.Get[resource.Project](r.tx, id); err == nil {
			ref.Name = p.Name
		}
	case strings.HasPrefix(id, resource.EnvironmentKind.IDPrefix+"-"):
		if e, err := store.Get[resource.Environment](r.tx, id); err == nil {
			ref.Name = e.Name
		}
	case strings.HasPrefix(id, resource.ReleaseKind.IDPrefix+"-"):
		if release, err := store.Get[resource.Release](r.tx, id); err == nil {
			ref.Name = release.Version
		}
	}
	if r.refs == nil {
		r.refs = map[string]rollout.Ref{}
	}
	r.refs[id] = ref
	return ref
}

// debts are the releases that the machine has to get before it counts as
// healthy.
func (r *whyReader) debts() error {
	held, err := store.Held(r.tx)
	if err != nil {
		return err
	}
	owed, err := store.OwedTo(r.tx, r.why.Machine.ID)
	for i := range owed {
		o := &owed[i]
		if !r.sees(o.ProjectID, o.EnvironmentID) {
			continue
		}
		text := fmt.Sprintf("It is owed the current release of %s in %s since %s: %s.", r.name(o.ProjectID).Name, r.name(o.EnvironmentID).Name, at(o.Since), strings.TrimSuffix(o.Reason, "."))
		switch {
		case held:
			text += " The server was restored from a backup: nothing is brought by itself until that is confirmed."
		case o.Error != "":
			text += " The last try failed: " + o.Error
		case strings.HasPrefix(o.TaskID, "ServerTasks-"):
			text += " " + o.TaskID + " brings it."
		case o.TaskID != "":
			text += " It is brought once " + o.TaskID[strings.LastIndex(o.TaskID, "/")+1:] + " has ended."
		}
		r.add(WhyWaits{Kind: WaitsForRelease, Holder: o.TaskID, Since: o.Since, Text: text})
	}
	return err
}

func (r *whyReader) slots() error {
	slots, err := store.SlotsOf(r.tx, r.why.Machine.ID)
	for i := range slots {
		waits := &slots[i]
		holder := &slots[0]
		if i == 0 || holder.GrantedAt == 0 {
			continue
		}
		task, err := store.GetTask(r.tx, waits.Rollout)
		if err != nil {
			return err
		}
		if !authz.Can(r.who.Subject, authz.TaskView, taskScope(task)) {
			continue
		}
		r.add(WhyWaits{
			Kind: WaitsForSlot, TaskID: waits.Rollout, Holder: holder.Rollout, Since: waits.Since,
			Text: fmt.Sprintf("%s waits for the machine since %s, in place %d: %s works on it since %s.", waits.Rollout, at(waits.Since), i, holder.Rollout, at(holder.GrantedAt)),
		})
	}
	return err
}

func (r *whyReader) parts() error {
	parts, err := store.PartsOf(r.tx, r.why.Machine.ID, whyParts)
	if err != nil {
		return err
	}
	for i := range parts {
		p := &parts[i]
		if !authz.Can(r.who.Subject, authz.TaskView, taskScope(&p.Task)) {
			continue
		}
		if !p.Task.State.Completed() {
			if err := r.waitsIn(p); err != nil {
				return err
			}
		}
		r.why.Parts = append(r.why.Parts, whyPart(p))
	}
	return nil
}

// waitsIn says what the machine's part in a running rollout waits for.
func (r *whyReader) waitsIn(p *store.Part) error {
	id := p.Task.ID
	busy := false
	for i := range p.Cells {
		c := &p.Cells[i]
		switch {
		case c.State == rollout.CellWaiting && c.DueAt != 0:
			r.add(WhyWaits{Kind: WaitsForRetry, TaskID: id, Until: c.DueAt, Text: fmt.Sprintf("%s tries again at %s: %s.", id, at(c.DueAt), strings.TrimSuffix(c.Reason, "."))})
		case c.State == rollout.CellInterrupted:
			r.add(WhyWaits{Kind: WaitsForAnswer, TaskID: id, Until: c.DueAt, Text: strings.TrimSuffix(fmt.Sprintf("%s waits for a person's answer: %s", id, c.Reason), ": ")})
		case c.State == rollout.CellRunning && c.SilentAt != 0:
			r.add(WhyWaits{Kind: WaitsForAgent, TaskID: id, Until: c.SilentAt, Text: fmt.Sprintf("%s waits for its agent to answer until %s.", id, at(c.SilentAt))})
		}
		busy = busy || c.State == rollout.CellWaiting || c.State == rollout.CellInterrupted || c.State == rollout.CellRunning
	}
	if busy || p.Member.State != rollout.MemberLive || p.Task.State != store.TaskExecuting {
		return nil
	}
	w := WhyWaits{Kind: WaitsForTurn, TaskID: id, Since: p.Task.StartTime}
	plan, err := store.LoadPlan(r.tx, id)
	if err != nil {
		return err
	}
	open, err := store.OpenSteps(r.tx, id)
	for i := range open {
		row, spec := &open[i], &plan.Steps[open[i].Index]
		w.Since = row.StartedAt
		step := fmt.Sprintf("step %d (%s)", spec.Number, spec.Name)
		begun := slices.ContainsFunc(p.Cells, func(c rollout.Cell) bool { return c.Step == row.Index })
		switch {
		case !spec.Covers(&p.Member):
			w.Text = fmt.Sprintf("%s is at %s, which is not for it.", id, step)
		case begun:
			w.Text = fmt.Sprintf("It is through %s of %s; the other machines are waited for: %d of %d are done.", step, id, row.Done, row.Scope)
		default:
			w.Text = fmt.Sprintf("In %s of %s it %s; %d of %d machines are done.", step, id, waitsForTurn(spec, row, &p.Member), row.Done, row.Scope)
		}
		r.add(w)
	}
	if len(open) == 0 {
		w.Text = id + " waits for machines that joined later."
		r.add(w)
	}
	return err
}

// queue are the tasks that would use the machine and have not begun.
func (r *whyReader) queue() error {
	const most = 50
	for _, env := range r.why.Machine.EnvironmentIDs {
		tasks, _, err := store.ListTasks(r.tx, store.TaskQuery{EnvironmentID: env, States: []store.TaskState{store.TaskQueued}, Take: most})
		if err != nil {
			return err
		}
		for i := range tasks {
			t := &tasks[i]
			if !authz.Can(r.who.Subject, authz.TaskView, taskScope(t)) {
				continue
			}
			plan, err := store.LoadPlan(r.tx, t.ID)
			if resource.CodeOf(err) == resource.NotFound {
				continue // a health check
			}
			if err != nil {
				return err
			}
			if !wouldUse(plan, r.why.Machine) {
				continue
			}
			w := WhyWaits{Kind: WaitsForLock, TaskID: t.ID, Text: t.ID + " is queued for it."}
			if t.QueueTime > r.now {
				w.Until, w.Text = t.QueueTime, fmt.Sprintf("%s starts at %s.", t.ID, at(t.QueueTime))
			}
			if t.WaitsFor != "" {
				w.Holder, _, _ = strings.Cut(t.WaitsFor, " ")
				w.Text = t.ID + " is queued: " + t.WaitsFor
			}
			r.add(w)
		}
	}
	return nil
}

func wouldUse(p *rollout.Plan, m *resource.Machine) bool {
	if slices.Contains(p.Excluded, m.ID) || len(p.Specific) > 0 && !slices.Contains(p.Specific, m.ID) {
		return false
	}
	member := &rollout.Member{ID: m.ID, Roles: m.Roles}
	return slices.ContainsFunc(p.Steps, func(s rollout.Step) bool { return s.Covers(member) })
}

// whyPart puts the machine's part in a rollout in words.
func whyPart(p *store.Part) WhyPart {
	t := &p.Task
	part := WhyPart{TaskID: t.ID, Description: t.Description, State: t.State, At: max(t.StartTime, t.CompletedTime)}
	part.Outcome = string(p.Member.State)
	reason := p.Member.Reason
	switch p.Member.State {
	case rollout.MemberNotDeployed:
		part.Text = "It was skipped: " + reason
	case rollout.MemberSuperseded:
		part.Text = "It was superseded: " + reason
	case rollout.MemberExcluded:
		part.Text = "It was taken out: " + reason
	case rollout.MemberLive:
		part.Outcome, reason = liveOutcome(p)
		part.Text = strings.TrimSuffix(part.Outcome+": "+reason, ": ")
	}
	return part
}

// liveOutcome is how far a machine came that neither left nor was missed.
func liveOutcome(p *store.Part) (outcome, reason string) {
	last := ""
	for i := range p.Cells {
		c := &p.Cells[i]
		switch c.State {
		case rollout.CellFailed, rollout.CellTimedOut, rollout.CellUnknown, rollout.CellNotDeployed:
			return string(c.State), c.Reason
		case rollout.CellCanceled, rollout.CellSuperseded:
			return string(c.State), c.Reason
		case rollout.CellRunning, rollout.CellInterrupted, rollout.CellWaiting:
			outcome, reason = "Running", c.Reason
		case rollout.CellSucceeded, rollout.CellSkipped, rollout.CellIgnored:
			last = string(c.State)
		}
	}
	switch {
	case outcome != "":
		return outcome, reason
	case !p.Task.State.Completed():
		return "Waiting", ""
	case last == "":
		return "Untouched", "no step ran on it"
	}
	return "Done", ""
}
