package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/steps"
	"github.com/slipwayhq/slipway/internal/store"
)

// AdHocScript asks for one script on chosen machines: by id, or by environment
// and role. It is the AdHocScript task of octopus-api.md 2.14.
type AdHocScript struct {
	Description  string
	Body         string
	Syntax       string // Bash, PowerShell or Python
	Machines     []string
	Environments []string
	Roles        []string
}

// RunScript queues the script. An empty selector means none, never all
// (abuse 33); a machine that is named and cannot run it is an error.
func (s *Service) RunScript(ctx context.Context, who app.Caller, space string, in AdHocScript) (task *store.Task, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(who.Actor())
		machines, err := scriptTargets(tx, who, space, in)
		if err != nil {
			return err
		}
		plan, err := scriptPlan(tx, space, in, machines)
		if err != nil {
			return err
		}
		task = &store.Task{
			ID: plan.Task, SpaceID: space, Name: string(rollout.Script), State: store.TaskQueued, CreatedBy: who.Username, Description: in.Description,
			Arguments: map[string]any{"MachineIds": plan.Specific, "ScriptBody": in.Body, "Syntax": in.Syntax},
		}
		if task.Description == "" {
			task.Description = fmt.Sprintf("Run a script on %d machines", len(machines))
		}
		if err := store.InsertTask(tx, task); err != nil {
			return err
		}
		if err := store.InsertRollout(tx, plan); err != nil {
			return err
		}
		return audit(tx, resource.EventTaskQueued, task.Description, space, append([]string{task.ID}, plan.Specific...)...)
	})
	return task, err
}

func scriptTargets(tx *store.Tx, who app.Caller, space string, in AdHocScript) ([]resource.Machine, error) {
	query := store.Query{Space: space, Where: map[string][]string{}}
	switch {
	case len(in.Machines) > 0:
		query.IDs = in.Machines
	case len(in.Environments) > 0:
		query.Where["EnvironmentIds"] = in.Environments
	default:
		return nil, resource.Errorf(resource.Invalid, "Please say which machines run the script: give machines, or environments.")
	}
	all, _, err := store.List[resource.Machine](tx, query)
	if err == nil {
		err = allNamed(in.Machines, all)
	}
	if err != nil {
		return nil, err
	}
	var machines []resource.Machine
	for i := range all {
		m := &all[i]
		if m.IsDisabled || len(in.Roles) > 0 && !slices.ContainsFunc(in.Roles, func(role string) bool {
			return slices.ContainsFunc(m.Roles, func(has string) bool { return strings.EqualFold(role, has) })
		}) {
			continue
		}
		for _, env := range m.EnvironmentIDs {
			if err := app.Allow(who, authz.TaskCreate, authz.Scope{Space: space, Environment: env}); err != nil {
				return nil, err
			}
		}
		machines = append(machines, *m)
	}
	if len(machines) == 0 {
		return nil, resource.Errorf(resource.Invalid, "No enabled machine matches. List the machines to see their environments and roles.")
	}
	return machines, nil
}

// allNamed refuses a machine that is named and is not there, or is disabled.
func allNamed(ids []string, found []resource.Machine) error {
	for _, id := range ids {
		at := slices.IndexFunc(found, func(m resource.Machine) bool { return m.ID == id })
		if at < 0 {
			return resource.Errorf(resource.Invalid, "There is no machine '%s' in this space. List the machines to see their ids.", id)
		}
		if found[at].IsDisabled {
			return resource.Errorf(resource.Invalid, "Machine '%s' is disabled. Enable it, or leave it out.", found[at].Name)
		}
	}
	return nil
}

func scriptPlan(tx *store.Tx, space string, in AdHocScript, machines []resource.Machine) (*rollout.Plan, error) {
	properties := map[string]string{steps.ScriptBody: in.Body, steps.ScriptSyntax: in.Syntax, steps.ScriptSource: "Inline"}
	kind, _ := steps.Lookup("Octopus.Script")
	if err := kind.Validate(properties); err != nil {
		return nil, resource.Errorf(resource.Invalid, "The script cannot be run: %v.", err)
	}
	id, err := tx.NextID("ServerTasks")
	if err != nil {
		return nil, err
	}
	where, err := store.Get[resource.Space](tx, space)
	if err != nil {
		return nil, err
	}
	plan := &rollout.Plan{
		Rules: rollout.Rules, Kind: rollout.Script, Task: id,
		Space:    rollout.Ref{ID: where.ID, Name: where.Name},
		BuiltIns: map[string]string{"Octopus.Task.Id": id, "Octopus.Task.Name": string(rollout.Script), "Octopus.Space.Id": where.ID, "Octopus.Space.Name": where.Name},
		Steps: []rollout.Step{{
			ID: "script", Name: "Script", Number: 1, Condition: rollout.ConditionSuccess, Roles: []string{rollout.EveryMachine},
			Actions: []rollout.Action{{
				ID: "script", Name: "Script", Number: "1", Type: kind.Name, Condition: rollout.ConditionSuccess, Properties: properties,
			}},
		}},
	}
	for i := range machines {
		plan.Specific = append(plan.Specific, machines[i].ID)
	}
	return plan, nil
}
