package deploy

import (
	"fmt"
	"slices"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// RollBack queues a deployment of the release that the environment of a failed
// task ran before, unless there is none or somebody has already ordered another
// deployment there; why says so then. It is never rolled back itself.
func (s *Service) RollBack(tx *store.Tx, taskID string) (task, why string, err error) {
	failed, err := store.GetTask(tx, taskID)
	if err != nil {
		return "", "", err
	}
	desired, err := store.DesiredIn(tx, failed.EnvironmentID)
	if err != nil {
		return "", "", err
	}
	at := slices.IndexFunc(desired, func(d store.Desired) bool { return d.ProjectID == failed.ProjectID && d.TenantID == failed.TenantID })
	if at < 0 {
		return "", "no release has succeeded there before", nil
	}
	later, _, err := store.ListTasks(tx, store.TaskQuery{
		Name: string(rollout.Deploy), ProjectID: failed.ProjectID, EnvironmentID: failed.EnvironmentID, TenantID: failed.TenantID, Take: 1,
	})
	if err != nil {
		return "", "", err
	}
	if len(later) == 1 && later[0].Ord > failed.Ord {
		return "", later[0].ID + " was ordered after it", nil
	}
	project, err := store.Get[resource.Project](tx, failed.ProjectID)
	if err != nil {
		return "", "", err
	}
	release, err := store.Get[resource.Release](tx, desired[at].ReleaseID)
	if err != nil {
		return "", "", err
	}
	env, err := store.Get[resource.Environment](tx, failed.EnvironmentID)
	if err != nil {
		return "", "", err
	}
	d := &resource.Deployment{
		Name: "Roll back to " + release.Version + " in " + env.Name, RollsBackTaskID: taskID, DeployedBy: "system", DeployedByID: "users-system",
		Comments: "Rolls back " + taskID + ", which failed.",
	}
	if err := sameAs(tx, d, desired[at].DeploymentID); err != nil {
		return "", "", err
	}
	if err := enqueue(tx, rollout.Deploy, project, release, env, d); err != nil {
		return "", "", err
	}
	return d.TaskID, "", audit(tx, resource.EventDeploymentQueued,
		fmt.Sprintf("%s failed; %s rolls back to %s release %s", taskID, env.Name, project.Name, release.Version), project.SpaceID,
		d.ID, d.TaskID, taskID, release.ID, project.ID, env.ID)
}
