package deploy

import (
	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (h *handler) deploymentRoutes() []api.Route {
	kind := resource.DeploymentKind
	return []api.Route{
		api.Post("/deployments/create/untenanted/v1", authz.DeploymentCreate, "Deploy a release by names", h.createUntenanted).Answers(201),
		api.Post("/deployments/plan/v1", authz.ReleaseView, "Show what deploying a release by names would do, and the hash to approve it by", h.planV1).Answers(200),
		api.Post("/deployments/create/tenanted/v1", authz.DeploymentCreate, "Deploy a release to tenants", h.createTenanted).Answers(201),
		api.Get("/deployments", authz.DeploymentView, "List deployments", h.listDeployments).
			With("ids", "projects", "environments", "channels", "releases", "partialName").Paged().Showing(kind, api.Some),
		api.Post("/deployments", authz.DeploymentCreate, "Deploy a release", h.createDeployment).Taking(kind).Showing(kind, api.One),
		api.Get("/deployments/{id}", authz.DeploymentView, "Get a deployment", h.getDeployment).Showing(kind, api.One),
		api.Delete("/deployments/{id}", authz.DeploymentDelete, "Delete a deployment that has ended", func(c *api.Call) error {
			return h.deploy.DeleteDeployment(c.Context(), c.Caller, c.Space, c.Param("id"))
		}),
	}
}

// createDeploymentV1 is the executions API's form (octopus-api.md 1.9).
type createDeploymentV1 struct {
	ProjectName              string
	ReleaseVersion           string
	EnvironmentNames         []string
	EnvironmentName          string
	Tenants                  []string
	TenantTags               []string
	ForcePackageDownload     bool
	ForcePackageRedeployment bool
	UpdateVariableSnapshot   bool
	SpecificMachineNames     []string
	ExcludedMachineNames     []string
	SkipStepNames            []string
	UseGuidedFailure         *bool
	Priority                 string
	RunAt                    resource.Time
	NoRunAfter               resource.Time
	Variables                map[string]string
	Comments                 string
	// PlanHash is the hash of the plan that was approved: another plan is refused.
	PlanHash string
}

type createdDeployments struct{ DeploymentServerTasks []deploymentTask }

type deploymentTask struct {
	DeploymentID string `json:"DeploymentId"`
	ServerTaskID string `json:"ServerTaskId"`
}

func (h *handler) createUntenanted(c *api.Call, in createDeploymentV1) (*createdDeployments, error) {
	made, err := h.deploy.CreateDeployments(c.Context(), c.Caller, c.Space, in.deployment())
	if err != nil {
		return nil, err
	}
	answer := &createdDeployments{DeploymentServerTasks: []deploymentTask{}}
	for i := range made {
		answer.DeploymentServerTasks = append(answer.DeploymentServerTasks, deploymentTask{made[i].ID, made[i].TaskID})
	}
	return answer, nil
}

// deployment is what the request asks for.
func (in *createDeploymentV1) deployment() deploy.NewDeployment {
	return deploy.NewDeployment{
		Project: in.ProjectName, Release: in.ReleaseVersion, Environments: in.EnvironmentNames,
		SpecificMachines: in.SpecificMachineNames, ExcludedMachines: in.ExcludedMachineNames, SkipSteps: in.SkipStepNames,
		Variables: in.Variables, RunAt: in.RunAt, NotAfter: in.NoRunAfter, Comments: in.Comments, Priority: in.Priority,
		ForcePackageDownload: in.ForcePackageDownload, ForcePackageRedeployment: in.ForcePackageRedeployment,
		UseGuidedFailure: in.UseGuidedFailure, UpdateVariables: in.UpdateVariableSnapshot, PlanHash: in.PlanHash,
	}
}

func (h *handler) createTenanted(*api.Call, createDeploymentV1) (*createdDeployments, error) {
	return nil, resource.Errorf(resource.Invalid, "Deployments to tenants are not supported yet. Deploy without tenants.")
}

// deploymentBody is a deployment document as clients post it.
type deploymentBody struct {
	ReleaseID                string `json:"ReleaseId"`
	EnvironmentID            string `json:"EnvironmentId"`
	TenantID                 string `json:"TenantId"`
	SkipActions              []string
	SpecificMachineIDs       []string `json:"SpecificMachineIds"`
	ExcludedMachineIDs       []string `json:"ExcludedMachineIds"`
	ForcePackageDownload     bool
	ForcePackageRedeployment bool
	UseGuidedFailure         *bool
	FormValues               map[string]string
	QueueTime                resource.Time
	QueueTimeExpiry          resource.Time
	Comments                 string
	Priority                 string
	PlanHash                 string
}

func (h *handler) createDeployment(c *api.Call, in deploymentBody) (api.Item, error) {
	d := &resource.Deployment{
		ReleaseID: in.ReleaseID, EnvironmentID: in.EnvironmentID, TenantID: in.TenantID, SkipActions: in.SkipActions,
		SpecificMachineIDs: in.SpecificMachineIDs, ExcludedMachineIDs: in.ExcludedMachineIDs,
		ForcePackageDownload: in.ForcePackageDownload, ForcePackageRedeployment: in.ForcePackageRedeployment,
		QueueTime: in.QueueTime, QueueTimeExpiry: in.QueueTimeExpiry, Comments: in.Comments, Priority: in.Priority, FormValues: resource.Properties{},
	}
	d.PlanHash = in.PlanHash
	for id, value := range in.FormValues {
		d.FormValues[id] = resource.Text(value)
	}
	return itemOf(d, h.deploy.CreateDeployment(c.Context(), c.Caller, c.Space, d, in.UseGuidedFailure))
}

func (h *handler) listDeployments(c *api.Call) (api.Collection[api.Item], error) {
	deployments, total, err := h.deploy.Deployments(c.Context(), c.Caller, c.Space, deploy.DeploymentQuery{
		Projects: c.List("projects"), Environments: c.List("environments"), Channels: c.List("channels"), Releases: c.List("releases"),
		IDs: c.List("ids"), PartialName: c.Text("partialName"), Skip: c.Page().Skip, Take: c.Page().Take,
	})
	return api.CollectionOf(c, "Deployment", itemsOf(deployments), total), err
}

func (h *handler) getDeployment(c *api.Call) (api.Item, error) {
	return itemOf(h.deploy.Deployment(c.Context(), c.Caller, c.Space, c.Param("id")))
}
