package deploy_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// P9, abuse 73: the answer to a prompt for a secret is sealed at once. Neither
// the deployment, nor the plan, nor the database's files show it, and the
// attempt that needs it finds it.
func TestAnAnswerThatIsSecretIsSealed(t *testing.T) {
	t.Parallel()
	const canary = "canary-#{Nothing}-4711"
	for name, stored := range map[string]resource.Sensitive{"with a stored value": resource.Plain("old"), "without": {}} {
		r := newRig(t)
		r.variables(resource.Variable{Name: "Token", IsSensitive: true, Type: resource.TypeSensitive, Secret: stored, Prompt: &resource.VariablePrompt{Required: true}})
		r.process(webStep("Run", bash("Run", "true")))
		release := r.release("1.0.0")
		byName, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}, Variables: map[string]string{"token": canary}})
		check(t, err)
		asDocument := &resource.Deployment{ReleaseID: release.ID, EnvironmentID: r.staging.ID, FormValues: resource.Properties{}}
		for id := range byName[0].FormValues {
			asDocument.FormValues[id] = resource.Text(canary)
		}
		check(t, r.CreateDeployment(t.Context(), r.who, space, asDocument, nil))
		for _, d := range []*resource.Deployment{&byName[0], asDocument} {
			plan := r.plan(d.TaskID)
			text, err := json.Marshal([]any{d, plan})
			check(t, err)
			if strings.Contains(string(text), "canary") {
				t.Errorf("%s: shown in %s", name, text)
			}
			member := &rollout.Member{ID: "Machines-1", Roles: []string{"web"}}
			payload := rollout.Render(plan, member, &rollout.Attempt{Executor: member.ID}, nil)
			found := false
			for _, v := range payload.Variables {
				if v.Name != "Token" {
					continue
				}
				found = true
				if v.Secret == nil || !v.Literal || v.Value != "" {
					t.Errorf("%s: variable %+v", name, v)
					continue
				}
				check(t, r.db.Read(t.Context(), func(tx *store.Tx) error {
					doc, err := store.Get[resource.Deployment](tx, v.Secret.Document)
					if err == nil {
						err = store.Unseal(tx, doc)
					}
					if err != nil {
						return err
					}
					doc.EachSecret(func(field string, s *resource.Sensitive) {
						if plain, _ := s.Reveal(); field != v.Secret.Field || plain != canary {
							t.Errorf("%s: %s holds %q, wanted in %s", name, field, plain, v.Secret.Field)
						}
					})
					return nil
				}))
			}
			if !found {
				t.Errorf("%s: the attempt has no Token", name)
			}
		}
		files, err := filepath.Glob(filepath.Join(r.folder, "*"))
		check(t, err)
		for _, file := range files {
			content, err := os.ReadFile(file)
			check(t, err)
			if bytes.Contains(content, []byte("canary")) {
				t.Errorf("%s: %s shows it", name, file)
			}
		}
	}
}

// A sensitive property that was cleared is an empty text: there is no secret to
// open for it, and the attempt can be prepared.
func TestAClearedSecretPropertyIsEmpty(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	action := bash("Run", "true")
	action.Properties["My.Password"] = resource.Secret(resource.Sensitive{})
	action.Properties["My.Token"] = resource.Secret(resource.Plain("x"))
	r.process(webStep("Run", action))
	r.release("1.0.0")
	made, err := r.deploy(deploy.NewDeployment{Release: "1.0.0", Environments: []string{"Staging"}})
	check(t, err)
	got := r.plan(made[0].TaskID).Steps[0].Actions[0]
	if _, secret := got.Secrets["My.Password"]; secret || len(got.Secrets) != 1 {
		t.Errorf("secrets: %v", got.Secrets)
	}
	if value, there := got.Properties["My.Password"]; !there || value != "" {
		t.Errorf("properties: %v", got.Properties)
	}
}

// P6: machines that come later get the deployment that the others got, with the
// answers that were given and without the steps that were left out.
func TestCatchUpIsTheSameDeployment(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.variables(
		resource.Variable{Name: "Ticket", Prompt: &resource.VariablePrompt{Required: true}},
		resource.Variable{Name: "Token", IsSensitive: true, Type: resource.TypeSensitive, Prompt: &resource.VariablePrompt{}},
	)
	r.process(webStep("Run", bash("Run", "true")), webStep("Extra", bash("Extra", "true")))
	r.release("1.0.0")
	m := r.machine("web-1", r.staging, "web")
	made, err := r.deploy(deploy.NewDeployment{
		Release: "1.0.0", Environments: []string{"Staging"}, Variables: map[string]string{"Ticket": "T-1", "Token": "canary"}, SkipSteps: []string{"Extra"},
	})
	check(t, err)
	r.succeed(&made[0])
	var task string
	r.write(func(tx *store.Tx) (err error) {
		task, _, err = r.CatchUp(tx, r.project.ID, r.staging.ID, []string{m.ID})
		return err
	})
	plan := r.plan(task)
	if plan.Steps[0].Actions[0].Skip != "" || plan.Steps[1].Actions[0].Skip == "" {
		t.Errorf("skipped: %q, %q", plan.Steps[0].Actions[0].Skip, plan.Steps[1].Actions[0].Skip)
	}
	payload := rollout.Render(plan, &rollout.Member{ID: m.ID, Roles: []string{"web"}}, &rollout.Attempt{Executor: m.ID}, nil)
	got := map[string]rollout.PayloadVariable{}
	for _, v := range payload.Variables {
		got[v.Name] = v
	}
	if got["Ticket"].Value != "T-1" || got["Token"].Secret == nil || got["Token"].Secret.Document == made[0].ID {
		t.Errorf("ticket %+v, token %+v", got["Ticket"], got["Token"])
	}
	r.write(func(tx *store.Tx) error { // the deployment may be gone from the lists by then
		if err := store.Delete[resource.Deployment](tx, made[0].ID); err != nil {
			return err
		}
		_, _, err := r.CatchUp(tx, r.project.ID, r.staging.ID, []string{m.ID})
		return err
	})
}
