package deploy

import (
	"fmt"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/variables"
)

func snapshots(tx *store.Tx, release *resource.Release) ([]*resource.VariableSet, error) {
	var sets []*resource.VariableSet
	for _, id := range append([]string{release.ProjectVariableSetSnapshotID}, release.LibraryVariableSetSnapshotIDs...) {
		set, err := store.Get[resource.VariableSet](tx, id)
		if err != nil {
			return nil, fmt.Errorf("read variables of release %s: %w", release.ID, err)
		}
		sets = append(sets, set)
	}
	return sets, nil
}

// planInput reads everything that the plan is made of.
func planInput(tx *store.Tx, kind rollout.Kind, project *resource.Project, release *resource.Release, env *resource.Environment, d *resource.Deployment) (*PlanInput, error) {
	in := &PlanInput{Kind: kind, TaskID: d.TaskID, Project: project, Release: release, Environment: env, Deployment: d}
	var errs [6]error
	in.Space, errs[0] = store.Get[resource.Space](tx, project.SpaceID)
	in.Group, errs[1] = store.Get[resource.ProjectGroup](tx, project.ProjectGroupID)
	in.Channel, errs[2] = store.Get[resource.Channel](tx, release.ChannelID)
	in.Process, errs[3] = store.Get[resource.DeploymentProcess](tx, release.ProjectDeploymentProcessSnapshotID)
	in.Variables, errs[4] = snapshots(tx, release)
	in.Worker, errs[5] = BuiltInWorker(tx)
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("plan %s: %w", d.TaskID, err)
		}
	}
	if err := checkPrompts(in); err != nil {
		return nil, err
	}
	desired, err := store.DesiredIn(tx, env.ID)
	if err != nil {
		return nil, err
	}
	for i := range desired {
		if desired[i].ProjectID == project.ID && desired[i].ReleaseID != release.ID {
			if in.Previous, err = store.Get[resource.Release](tx, desired[i].ReleaseID); err != nil && resource.CodeOf(err) != resource.NotFound {
				return nil, err
			}
		}
	}
	return in, nil
}

// checkPrompts refuses a deployment that leaves a required question open.
func checkPrompts(in *PlanInput) error {
	if in.Kind != rollout.Deploy || in.TaskID == "" { // a preview asks, and catching up answers with what is stored
		return nil
	}
	for _, set := range in.Variables {
		for i := range set.Variables {
			v := &set.Variables[i]
			if v.Prompt == nil || !v.Prompt.Required {
				continue
			}
			if answer := in.Deployment.FormValues[v.ID]; strings.TrimSpace(answer.Text) == "" && !answer.Secret.HasValue() {
				return resource.Errorf(resource.Invalid, "Please give a value for the variable '%s': this release asks for it.", v.Name)
			}
		}
	}
	return nil
}

// hideAnswers makes the answers to prompts for secrets secret themselves, before
// anything is stored or planned: clients send them as plain texts (P9).
func hideAnswers(in *PlanInput) {
	for _, set := range in.Variables {
		for i := range set.Variables {
			v := &set.Variables[i]
			if answer, given := in.Deployment.FormValues[v.ID]; given && v.Sensitive() && !answer.IsSensitive {
				in.Deployment.FormValues[v.ID] = resource.Secret(resource.Plain(answer.Text))
			}
		}
	}
}

// prompted are the answers to prompts as candidates, which win over what is
// stored and are never expanded (abuse 63). A secret one is kept by the
// deployment.
func prompted(in *PlanInput, v *resource.Variable) (variables.Candidate, bool) {
	answer, given := in.Deployment.FormValues[v.ID]
	if v.Prompt == nil || !given || answer.IsSensitive != v.Sensitive() || answer.IsSensitive && !answer.Secret.HasValue() {
		return variables.Candidate{}, false
	}
	copied := *v
	copied.Value, copied.Secret = answer.Text, resource.Sensitive{}
	return variables.Candidate{Variable: &copied, SetID: in.Deployment.ID, Rank: variables.Prompted, Literal: true}, true
}

// BuiltInWorker is the worker beside the server: the first one there was.
func BuiltInWorker(tx *store.Tx) (*resource.Worker, error) {
	worker, err := store.First[resource.Worker](tx, store.Query{AllSpaces: true, Order: []string{"ord"}})
	if resource.CodeOf(err) == resource.NotFound {
		return &resource.Worker{}, nil
	}
	return worker, err
}
