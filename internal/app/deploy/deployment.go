package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// NewDeployment asks for deployments of one release, by id or name.
type NewDeployment struct {
	Project      string
	Release      string // version or id
	Environments []string
	// PlanHash is the approval hash of the plan that was shown; "" takes any.
	PlanHash string
	// Machines are ids or names; SkipSteps names of steps or actions.
	SpecificMachines []string
	ExcludedMachines []string
	SkipSteps        []string
	// Variables answer prompts, by name.
	Variables map[string]string
	RunAt     resource.Time
	NotAfter  resource.Time
	Comments  string
	Priority  string
	// UpdateVariables gives the release the variables as they are now.
	UpdateVariables bool

	ForcePackageDownload, ForcePackageRedeployment bool
	// UseGuidedFailure asks people about failures; nil is what the project and
	// the environment say.
	UseGuidedFailure *bool
}

// CreateDeployments queues one deployment per environment, all or none.
func (s *Service) CreateDeployments(ctx context.Context, who app.Caller, space string, in NewDeployment) (made []resource.Deployment, err error) {
	if len(in.Environments) == 0 {
		return nil, resource.Errorf(resource.Invalid, "Please say which environment to deploy to.")
	}
	if in.PlanHash != "" && len(in.Environments) > 1 {
		return nil, resource.Errorf(resource.Invalid, "A plan is for one environment. Deploy to each with the hash of its own plan.")
	}
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		made = nil
		tx.SetActor(who.Actor())
		project, err := namedProject(tx, who, space, in.Project, authz.DeploymentCreate)
		if err != nil {
			return err
		}
		release, err := findRelease(tx, project, in.Release)
		if err != nil {
			return err
		}
		if in.UpdateVariables {
			if err := app.Allow(who, authz.ReleaseEdit, scopeOf(space, project)); err != nil {
				return err
			}
			if err := updateSnapshot(tx, project, release); err != nil {
				return err
			}
		}
		for _, key := range in.Environments {
			env, err := findEnvironment(tx, space, key)
			if err != nil {
				return err
			}
			d, err := deploymentOf(tx, project, release, env, in)
			if err != nil {
				return err
			}
			d.PlanHash = in.PlanHash
			if err := queue(tx, who, project, release, env, d); err != nil {
				return err
			}
			made = append(made, *d)
		}
		return nil
	})
	return made, err
}

// CreateDeployment queues the deployment that a client wrote as a document.
// askPeople is its UseGuidedFailure; nil is what the project and the
// environment say.
func (s *Service) CreateDeployment(ctx context.Context, who app.Caller, space string, d *resource.Deployment, askPeople *bool) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(who.Actor())
		release, err := store.GetIn[resource.Release](tx, space, d.ReleaseID)
		if err != nil {
			return asInvalid(err, "There is no release '%s'.", d.ReleaseID)
		}
		project, err := findProject(tx, who, space, release.ProjectID, authz.DeploymentCreate)
		if err != nil {
			return err
		}
		env, err := findEnvironment(tx, space, d.EnvironmentID)
		if err != nil {
			return err
		}
		d.UseGuidedFailure = guided(project, env)
		if askPeople != nil {
			d.UseGuidedFailure = *askPeople
		}
		return queue(tx, who, project, release, env, d)
	})
}

// guided says whether a deployment that does not say it itself asks people
// about failures (octopus-api.md 2.5).
func guided(project *resource.Project, env *resource.Environment) bool {
	switch project.DefaultGuidedFailureMode {
	case resource.GuidedFailureOn:
		return true
	case resource.GuidedFailureOff:
		return false
	}
	return env.UseGuidedFailure
}

// deploymentOf fills a deployment document from names.
func deploymentOf(tx *store.Tx, project *resource.Project, release *resource.Release, env *resource.Environment, in NewDeployment) (*resource.Deployment, error) {
	d := &resource.Deployment{
		ReleaseID: release.ID, EnvironmentID: env.ID, Comments: in.Comments, Priority: in.Priority, QueueTime: in.RunAt, QueueTimeExpiry: in.NotAfter,
		ForcePackageDownload: in.ForcePackageDownload, ForcePackageRedeployment: in.ForcePackageRedeployment, UseGuidedFailure: guided(project, env),
	}
	if in.UseGuidedFailure != nil {
		d.UseGuidedFailure = *in.UseGuidedFailure
	}
	var err error
	if d.SpecificMachineIDs, err = machineIDs(tx, project.SpaceID, in.SpecificMachines); err != nil {
		return nil, err
	}
	if d.ExcludedMachineIDs, err = machineIDs(tx, project.SpaceID, in.ExcludedMachines); err != nil {
		return nil, err
	}
	if d.SkipActions, err = skipActions(tx, release, in.SkipSteps); err != nil {
		return nil, err
	}
	d.FormValues, err = formValues(tx, release, in.Variables)
	return d, err
}

func machineIDs(tx *store.Tx, space string, keys []string) ([]string, error) {
	var ids []string
	for _, key := range keys {
		m, err := store.Find[resource.Machine](tx, space, key)
		if err != nil {
			return nil, asInvalid(err, "There is no machine '%s' in this space. List the machines to see their names.", key)
		}
		ids = append(ids, m.ID)
	}
	return ids, nil
}

func skipActions(tx *store.Tx, release *resource.Release, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	process, err := store.Get[resource.DeploymentProcess](tx, release.ProjectDeploymentProcessSnapshotID)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, name := range names {
		before := len(ids)
		for i := range process.Steps {
			step := &process.Steps[i]
			for j := range step.Actions {
				if a := &step.Actions[j]; a.ID == name || strings.EqualFold(a.Name, name) || strings.EqualFold(step.Name, name) || step.ID == name {
					ids = append(ids, a.ID)
				}
			}
		}
		if len(ids) == before {
			return nil, resource.Errorf(resource.Invalid, "Release %s has no step '%s' to skip.", release.Version, name)
		}
	}
	return ids, nil
}

func formValues(tx *store.Tx, release *resource.Release, answers map[string]string) (resource.Properties, error) {
	values := resource.Properties{}
	if len(answers) == 0 {
		return values, nil
	}
	sets, err := snapshots(tx, release)
	if err != nil {
		return nil, err
	}
	for name, value := range answers {
		found := false
		for _, set := range sets {
			for i := range set.Variables {
				if v := &set.Variables[i]; v.Prompt != nil && (strings.EqualFold(v.Name, name) || v.ID == name) {
					values[v.ID], found = resource.Text(value), true
				}
			}
		}
		if !found {
			return nil, resource.Errorf(resource.Invalid, "Release %s asks for no variable '%s'.", release.Version, name)
		}
	}
	return values, nil
}

// queue checks the deployment, stores it with its task and its plan, and lets
// the engine have it: all in the caller's transaction.
func queue(tx *store.Tx, who app.Caller, project *resource.Project, release *resource.Release, env *resource.Environment, d *resource.Deployment) error {
	scope := scopeOf(project.SpaceID, project)
	scope.Environment = env.ID
	if err := app.Allow(who, authz.DeploymentCreate, scope); err != nil {
		return err
	}
	if project.IsDisabled {
		return resource.Errorf(resource.Invalid, "Project '%s' is disabled. Enable it to deploy.", project.Name)
	}
	if d.TenantID != "" {
		return resource.Errorf(resource.Invalid, "Deployments to tenants are not supported yet. Leave TenantId out.")
	}
	if err := checkLifecycle(tx, project, release, env); err != nil {
		return err
	}
	if err := checkMachines(tx, env, d); err != nil {
		return err
	}
	d.DeployedBy, d.DeployedByID = who.Username, who.UserID
	if err := enqueue(tx, rollout.Deploy, project, release, env, d); err != nil {
		return err
	}
	return audit(tx, resource.EventDeploymentQueued, fmt.Sprintf("Deploy of %s release %s to %s was queued", project.Name, release.Version, env.Name), project.SpaceID,
		d.ID, d.TaskID, release.ID, project.ID, env.ID)
}

// Enqueue stores a deployment with its task and plan without asking who wants
// it: for people it is checked before, for the fleet it is the rule itself.
func enqueue(tx *store.Tx, kind rollout.Kind, project *resource.Project, release *resource.Release, env *resource.Environment, d *resource.Deployment) error {
	taskID, err := tx.NextID("ServerTasks")
	if err != nil {
		return err
	}
	d.SpaceID, d.TaskID = project.SpaceID, taskID
	d.ReleaseID, d.EnvironmentID, d.ProjectID, d.ChannelID = release.ID, env.ID, project.ID, release.ChannelID
	d.DeploymentProcessID, d.ManifestVariableSetID = release.ProjectDeploymentProcessSnapshotID, release.ProjectVariableSetSnapshotID
	d.Name = cmp.Or(d.Name, "Deploy to "+env.Name)
	d.Created = resource.TimeOf(tx.Now())
	in, err := planInput(tx, kind, project, release, env, d)
	if err != nil {
		return err
	}
	hideAnswers(in)
	if err := approve(in); err != nil {
		return err
	}
	if err := store.Insert(tx, d); err != nil {
		return err
	}
	plan, err := BuildPlan(in)
	if err != nil {
		return err
	}
	if err := checkWorker(plan); err != nil {
		return err
	}
	task := &store.Task{
		ID: taskID, SpaceID: project.SpaceID, Name: string(kind), State: store.TaskQueued,
		Description: fmt.Sprintf("Deploy %s release %s to %s", project.Name, release.Version, env.Name),
		Arguments:   map[string]any{"DeploymentId": d.ID},
		ProjectID:   project.ID, EnvironmentID: env.ID, DeploymentID: d.ID, CreatedBy: d.DeployedBy,
		QueueTime: millis(d.QueueTime), ExpiryTime: millis(d.QueueTimeExpiry), Priority: priority(d.Priority),
	}
	if err := store.InsertTask(tx, task); err != nil {
		return err
	}
	return store.InsertRollout(tx, plan)
}

// checkWorker refuses a step that runs on the server where there is no worker:
// its attempts would wait for a machine without a name.
func checkWorker(p *rollout.Plan) error {
	if p.Worker.ID != "" {
		return nil
	}
	for i := range p.Steps {
		step := &p.Steps[i]
		for j := range step.Actions {
			if a := &step.Actions[j]; a.Skip == "" && a.Manual == nil && (a.OnServer || len(step.Roles) == 0 && p.Kind == rollout.Deploy) {
				return resource.Errorf(resource.Invalid, "Step '%s' runs on the server, which has no worker. Start the server without --no-worker, or give the step target roles.", step.Name)
			}
		}
	}
	return nil
}

func millis(t resource.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Std().UnixMilli()
}

func priority(text string) int {
	if strings.EqualFold(text, "High") {
		return 1
	}
	return 0
}

func checkLifecycle(tx *store.Tx, project *resource.Project, release *resource.Release, env *resource.Environment) error {
	progress, err := progressOf(tx, project, release)
	if err != nil {
		return err
	}
	return allowed(progress, release, env, func(id string) string {
		if e, err := store.Get[resource.Environment](tx, id); err == nil {
			return e.Name
		}
		return id
	})
}

// checkMachines refuses a machine that is named twice, unknown, or outside the
// environment.
func checkMachines(tx *store.Tx, env *resource.Environment, d *resource.Deployment) error {
	seen := map[string]string{}
	for what, ids := range map[string][]string{"specific": d.SpecificMachineIDs, "excluded": d.ExcludedMachineIDs} {
		for _, id := range ids {
			m, err := store.GetIn[resource.Machine](tx, env.SpaceID, id)
			if err != nil {
				return asInvalid(err, "There is no machine '%s' in this space.", id)
			}
			if other, twice := seen[id]; twice {
				if other == what {
					return resource.Errorf(resource.Invalid, "Machine '%s' is named twice among the %s machines. Name it once.", m.Name, what)
				}
				return resource.Errorf(resource.Invalid, "Machine '%s' is both specific and excluded. Name it in one of the two.", m.Name)
			}
			seen[id] = what
			if !slices.Contains(m.EnvironmentIDs, env.ID) {
				return resource.Errorf(resource.Invalid, "Machine '%s' is not in '%s'.", m.Name, env.Name)
			}
		}
	}
	return nil
}
