package deploy

import (
	"fmt"
	"slices"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// CatchUp queues a deployment of the release that the environment wants to
// machines that came later or did not answer. without are those of the
// machines that no step of it concerns, or all of them when the environment
// wants no release any more; task is empty when nothing is left to do.
func (s *Service) CatchUp(tx *store.Tx, projectID, environmentID string, machines []string) (task string, without []string, err error) {
	desired, err := store.DesiredIn(tx, environmentID)
	if err != nil {
		return "", nil, err
	}
	at := slices.IndexFunc(desired, func(d store.Desired) bool { return d.ProjectID == projectID })
	if at < 0 {
		return "", machines, nil
	}
	project, err := store.Get[resource.Project](tx, projectID)
	if err != nil {
		return "", machines, gone(err)
	}
	release, err := store.Get[resource.Release](tx, desired[at].ReleaseID)
	if err != nil {
		return "", machines, gone(err)
	}
	env, err := store.Get[resource.Environment](tx, environmentID)
	if err != nil {
		return "", machines, gone(err)
	}
	concerned, without, err := concernedBy(tx, release, machines)
	if err != nil || len(concerned) == 0 {
		return "", without, err
	}
	d := &resource.Deployment{
		Name: "Catch up with " + release.Version + " in " + env.Name, SpecificMachineIDs: concerned,
		DeployedBy: "system", DeployedByID: "users-system",
	}
	if err := sameAs(tx, d, desired[at].DeploymentID); err != nil {
		return "", without, err
	}
	if err := enqueue(tx, rollout.CatchUp, project, release, env, d); err != nil {
		return "", without, err
	}
	return d.TaskID, without, audit(tx, resource.EventDeploymentQueued,
		fmt.Sprintf("%d machines of %s catch up with %s release %s", len(concerned), env.Name, project.Name, release.Version), project.SpaceID,
		append([]string{d.ID, d.TaskID, release.ID, project.ID, env.ID}, concerned...)...)
}

// sameAs gives a catch-up what people said when the environment got the release:
// their answers to prompts, and the steps that they left out. That deployment
// may have been deleted since.
func sameAs(tx *store.Tx, d *resource.Deployment, id string) error {
	was, err := store.Get[resource.Deployment](tx, id)
	if err != nil {
		return gone(err)
	}
	if err := store.Unseal(tx, was); err != nil {
		return err
	}
	d.FormValues, d.SkipActions = was.FormValues, was.SkipActions
	return nil
}

// gone is nil for a document that was deleted: then nothing is owed.
func gone(err error) error {
	if resource.CodeOf(err) == resource.NotFound {
		return nil
	}
	return err
}

// concernedBy splits machines by whether a step of the release has one of
// their roles.
func concernedBy(tx *store.Tx, release *resource.Release, machines []string) (concerned, without []string, err error) {
	process, err := store.Get[resource.DeploymentProcess](tx, release.ProjectDeploymentProcessSnapshotID)
	if err != nil {
		return nil, nil, err
	}
	var roles []string
	for i := range process.Steps {
		roles = append(roles, process.Steps[i].Roles()...)
	}
	for _, id := range machines {
		m, err := store.Get[resource.Machine](tx, id)
		if err != nil {
			return nil, nil, err
		}
		if sharesRole(roles, m.Roles) {
			concerned = append(concerned, id)
		} else {
			without = append(without, id)
		}
	}
	return concerned, without, nil
}
