package deploy_test

import (
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/steps"
	"github.com/slipwayhq/slipway/internal/store"
)

// asked deploys, and puts a question of the rollout's owner into the store.
func (r *rig) asked() *deploy.Interruption {
	r.t.Helper()
	r.release("1.0.0")
	made, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}})
	check(r.t, err)
	task := made[0].TaskID
	r.write(func(tx *store.Tx) error {
		epoch, err := store.Claim(tx, task, "node-1/1")
		if err != nil {
			return err
		}
		turn, err := store.OpenTurn(tx, task, "node-1/1", epoch)
		if err != nil {
			return err
		}
		row := turn.Row()
		row.State, row.Interruptions = rollout.Running, 1
		turn.Begin("node-1")
		turn.Save(rollout.Changes{Row: row, Asked: []*rollout.Interruption{{
			N: 1, Kind: rollout.GuidedFailure, Cell: rollout.CellKey{Member: "Machines-1"}, Title: "Install on web1: failed", Text: "exit code 1",
			Choices: []rollout.Guidance{rollout.Retry, rollout.Fail}, AskedAt: tx.Now().UnixMilli(),
		}}})
		return turn.Err()
	})
	list, total, err := r.Interruptions(r.t.Context(), r.who, space, deploy.InterruptionQuery{Regarding: task, PendingOnly: true})
	check(r.t, err)
	if total != 1 || len(list) != 1 {
		r.t.Fatalf("%d questions: %+v", total, list)
	}
	return &list[0]
}

// abuse 95: answered twice, by two people, by somebody without the right, or
// with what was not asked: the first valid answer wins, and nothing else
// changes anything.
func TestTheFirstAnswerWins(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	q := r.asked()
	ann := r.who
	bob := r.who
	bob.UserID, bob.Username = "Users-2", "bob"
	answer := func(who app.Caller, with string) error {
		_, err := r.AnswerInterruption(t.Context(), who, space, q.ID, with, "because")
		return err
	}
	stranger := app.Caller{Subject: authz.Subject{UserID: "Users-3", Username: "stranger"}}
	refusedFor(t, answer(stranger, "Retry"), resource.NotFound)
	refusedFor(t, answer(ann, "Retry"), resource.Conflict, "responsibility")
	_, err := r.TakeResponsibility(t.Context(), ann, space, q.ID)
	check(t, err)
	refusedFor(t, answer(bob, "Retry"), resource.Forbidden, ann.Username)
	refusedFor(t, answer(ann, "Ignore"), resource.Invalid, "Retry, Fail")
	refusedFor(t, answer(ann, ""), resource.Invalid)
	_, err = r.AnswerInterruption(t.Context(), ann, space, q.ID, "Retry", strings.Repeat("x", 65<<10))
	refusedFor(t, err, resource.TooLarge)
	_, err = r.Interruption(t.Context(), ann, "Spaces-2", q.ID)
	refusedFor(t, err, resource.NotFound)
	check(t, answer(ann, "retry"))
	refusedFor(t, answer(ann, "Fail"), resource.Conflict)
	_, err = r.TakeResponsibility(t.Context(), bob, space, q.ID)
	refusedFor(t, err, resource.Conflict)

	now, err := r.Interruption(t.Context(), ann, space, q.ID)
	check(t, err)
	if now.Guidance != rollout.Retry || now.Notes != "because" || now.ResponsibleName != ann.Username || now.Pending() {
		t.Errorf("answered: %+v", now)
	}
	r.write(func(tx *store.Tx) error {
		turn, err := store.OpenTurn(tx, q.Rollout, "node-1/1", 1)
		if err != nil {
			return err
		}
		items := turn.Inbox(10)
		if len(items) != 1 || items[0].Event.Kind != rollout.Answered || items[0].Event.Answer.Guidance != rollout.Retry || *items[0].Event.Cell != q.Cell {
			t.Errorf("the rollout was told %+v", items)
		}
		return nil
	})
}

// Who may look and not answer is refused; who may do neither learns nothing.
func TestWhoMayAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	q := r.asked()
	viewer := r.who
	viewer.Grants = []authz.Grant{}
	if _, total, err := r.Interruptions(t.Context(), viewer, space, deploy.InterruptionQuery{}); err != nil || total != 0 {
		t.Errorf("somebody without rights sees %d questions, %v", total, err)
	}
	_, err := r.TakeResponsibility(t.Context(), viewer, space, q.ID)
	refusedFor(t, err, resource.NotFound)
}

// octopus-api.md 2.6: what a process says about failures, time and order ends
// up in the plan.
func TestPoliciesInThePlan(t *testing.T) {
	t.Parallel()
	with := func(a resource.Action, properties map[string]string) resource.Action {
		for name, value := range properties {
			a.Properties[name] = resource.Text(value)
		}
		return a
	}
	first := webStep("First", with(bash("First", "true"), map[string]string{
		steps.RetryCount: "3", steps.RetryBackoff: "20", steps.TimeLimit: "10", steps.Idempotent: "True", steps.RebootsExpected: "true",
	}))
	first.Properties[steps.FailurePolicy], first.Properties[steps.StepTimeLimit] = resource.Text("10%"), resource.Text("60")
	first.Properties[steps.ZoneByZone] = resource.Text("True")
	second := webStep("Second", bash("Second", "true"))
	second.StartTrigger = resource.StartWithPrevious
	third := resource.Step{Name: "Third", Properties: resource.Properties{}, Actions: []resource.Action{{
		Name: "Third", ActionType: "Octopus.Manual", Properties: resource.Properties{
			steps.ManualInstructions: resource.Text("Look."), steps.ManualTeams: resource.Text("Teams-1,Teams-2"), steps.ManualDeadline: resource.Text("90"),
		},
	}}}
	in := input(first, second, third)
	in.Worker = &resource.Worker{} // a manual step needs none
	in.Deployment.UseGuidedFailure = true
	in.Variables[0].Variables = append(in.Variables[0].Variables,
		resource.Variable{ID: "w", Name: deploy.AnswerWithin, Value: "30"}, resource.Variable{ID: "r", Name: deploy.RollBack, Value: "automatic"}, resource.Variable{ID: "u", Name: deploy.UnknownOutcome, Value: "fail"})
	plan, err := deploy.BuildPlan(in)
	check(t, err)
	a := plan.Steps[0].Actions[0]
	if a.Retries != 3 || a.Backoff != 20_000 || a.Limit != 600_000 || !a.Idempotent || !a.RebootsExpected {
		t.Errorf("action: %+v", a)
	}
	if s := plan.Steps[0]; s.Tolerate != (rollout.Tolerance{Percent: 10}) || s.Limit != 3_600_000 || !s.Zonal || s.WithPrevious || !plan.Steps[1].WithPrevious {
		t.Errorf("steps: %+v", plan.Steps)
	}
	if m := plan.Steps[2].Actions[0].Manual; m == nil || m.Instructions != "Look." || len(m.Teams) != 2 || m.Within != 5_400_000 {
		t.Errorf("manual: %+v", m)
	}
	if !plan.Guided || plan.AskUnknown || !plan.RollBack || plan.AnswerWithin != 1_800_000 {
		t.Errorf("guided %v, unknown asks %v, within %d", plan.Guided, plan.AskUnknown, plan.AnswerWithin)
	}
	in.Kind = rollout.CatchUp
	plan, err = deploy.BuildPlan(in)
	check(t, err)
	if plan.Guided || plan.AskUnknown || plan.RollBack || plan.Steps[2].Actions[0].Skip == "" {
		t.Error("a catch-up asks people")
	}
	in.Kind, in.Variables[0].Variables[len(in.Variables[0].Variables)-1].Value = rollout.Deploy, "Perhaps"
	_, err = deploy.BuildPlan(in)
	refusedFor(t, err, resource.Invalid, deploy.UnknownOutcome, "Perhaps")
	for property, bad := range map[string]string{steps.RetryCount: "11", steps.RetryBackoff: "soon", steps.TimeLimit: "-1"} {
		_, err := deploy.BuildPlan(input(webStep("Bad", with(bash("Bad", "true"), map[string]string{steps.RetryCount: "1", property: bad}))))
		refusedFor(t, err, resource.Invalid, "Bad", property, bad)
	}
}

// Guided failure is what the deployment says, else the project, else the
// environment.
func TestGuidedFailureByDefault(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, tc := range []struct {
		mode        string
		environment bool
		said        *bool
		want        bool
	}{
		{resource.GuidedFailureDefault, true, nil, true},
		{resource.GuidedFailureDefault, false, nil, false},
		{resource.GuidedFailureOn, false, nil, true},
		{resource.GuidedFailureOff, true, nil, false},
		{resource.GuidedFailureOff, false, &yes, true},
		{resource.GuidedFailureOn, true, &no, false},
	} {
		r := newRig(t)
		r.write(func(tx *store.Tx) error {
			r.project.DefaultGuidedFailureMode, r.staging.UseGuidedFailure = tc.mode, tc.environment
			if err := store.Update(tx, r.project); err != nil {
				return err
			}
			return store.Update(tx, r.staging)
		})
		r.release("1.0.0")
		made, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}, UseGuidedFailure: tc.said})
		check(t, err)
		if made[0].UseGuidedFailure != tc.want {
			t.Errorf("%+v: %v", tc, made[0].UseGuidedFailure)
		}
	}
}
