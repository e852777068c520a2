package client

import "context"

// NewRelease asks for a release; empty fields take the project's defaults
// (octopus-api.md 1.9).
type NewRelease struct {
	SpaceID             string   `json:"spaceId"`
	Space               string   `json:"spaceIdOrName"`
	Project             string   `json:"projectName"`
	Version             string   `json:"releaseVersion,omitempty"`
	Channel             string   `json:"channelName,omitempty"`
	PackageVersion      string   `json:"packageVersion,omitempty"`
	Packages            []string `json:"packages,omitempty"`
	Notes               string   `json:"releaseNotes,omitempty"`
	IgnoreIfExists      bool     `json:"ignoreIfAlreadyExists"`
	IgnoreChannelRules  bool     `json:"ignoreChannelRules"`
	PrereleaseOfPackage string   `json:"packagePrerelease,omitempty"`
}

// CreatedRelease is what the server made of it.
type CreatedRelease struct {
	ReleaseID      string `json:"ReleaseId"`
	ReleaseVersion string
}

// CreateRelease makes a release in the client's space.
func (c *Client) CreateRelease(ctx context.Context, r NewRelease) (CreatedRelease, error) {
	space, err := c.SpaceID(ctx)
	if err != nil {
		return CreatedRelease{}, err
	}
	r.SpaceID, r.Space = space, space
	var created CreatedRelease
	return created, c.Post(ctx, "/api/"+space+"/releases/create/v1", r, &created)
}

// NewDeployment asks for one deployment per environment. Times are RFC 3339.
type NewDeployment struct {
	SpaceID              string            `json:"spaceId"`
	Space                string            `json:"spaceIdOrName"`
	Project              string            `json:"projectName"`
	Release              string            `json:"releaseVersion"`
	Environments         []string          `json:"environmentNames"`
	ForceDownload        bool              `json:"forcePackageDownload"`
	ForceRedeploy        bool              `json:"forcePackageRedeployment"`
	UpdateVariables      bool              `json:"updateVariableSnapshot"`
	SpecificMachines     []string          `json:"specificMachineNames,omitempty"`
	ExcludedMachines     []string          `json:"excludedMachineNames,omitempty"`
	SkipSteps            []string          `json:"skipStepNames,omitempty"`
	UseGuidedFailure     *bool             `json:"useGuidedFailure,omitempty"`
	RunAt                string            `json:"runAt,omitempty"`
	NoRunAfter           string            `json:"noRunAfter,omitempty"`
	Variables            map[string]string `json:"variables,omitempty"`
	FreezeNames          []string          `json:"deploymentFreezeNames,omitempty"`
	FreezeOverrideReason string            `json:"deploymentFreezeOverrideReason,omitempty"`
	// PlanHash is the hash of the plan that was approved; another is refused.
	PlanHash string `json:"planHash,omitempty"`
}

// StartedDeployment names a deployment and the task that runs it.
type StartedDeployment struct {
	DeploymentID string `json:"DeploymentId"`
	ServerTaskID string `json:"ServerTaskId"`
}

// Deploy starts a release in one or several environments of the client's space.
func (c *Client) Deploy(ctx context.Context, d NewDeployment) ([]StartedDeployment, error) {
	space, err := c.SpaceID(ctx)
	if err != nil {
		return nil, err
	}
	d.SpaceID, d.Space = space, space
	var answer struct {
		DeploymentServerTasks []StartedDeployment
	}
	err = c.Post(ctx, "/api/"+space+"/deployments/create/untenanted/v1", d, &answer)
	return answer.DeploymentServerTasks, err
}

// Plan shows what Deploy would do, for one environment, and changes nothing.
func (c *Client) Plan(ctx context.Context, d NewDeployment) (Document, error) {
	space, err := c.SpaceID(ctx)
	if err != nil {
		return nil, err
	}
	d.SpaceID, d.Space = space, space
	var plan Document
	return plan, c.Post(ctx, "/api/"+space+"/deployments/plan/v1", d, &plan)
}
