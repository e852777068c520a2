package deploy

import (
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// Service is the use cases around releases and deployments.
type Service struct{ db *store.DB }

// New makes the service.
func New(db *store.DB) *Service { return &Service{db: db} }

func scopeOf(space string, p *resource.Project) authz.Scope {
	return authz.Scope{Space: space, Project: p.ID, ProjectGroup: p.ProjectGroupID}
}

// findProject finds a project by id, slug or name, for a caller who may do it
// there. One that he may not see is as missing as one that never was.
func findProject(tx *store.Tx, who app.Caller, space, key string, p authz.Permission) (*resource.Project, error) {
	project, err := store.Find[resource.Project](tx, space, key)
	if err != nil {
		return nil, err
	}
	if !authz.Can(who.Subject, authz.ProjectView, scopeOf(space, project)) {
		return nil, resource.Missing(key)
	}
	return project, app.Allow(who, p, scopeOf(space, project))
}

// namedProject is findProject for a project that a request's body names.
func namedProject(tx *store.Tx, who app.Caller, space, key string, p authz.Permission) (*resource.Project, error) {
	project, err := findProject(tx, who, space, key, p)
	return project, asInvalid(err, "There is no project '%s' in this space. List the projects to see their names.", key)
}

// asInvalid turns a missing document that a request's body names into the
// sentence given: the request is wrong, not its address.
func asInvalid(err error, format string, args ...any) error {
	if resource.CodeOf(err) != resource.NotFound {
		return err
	}
	return resource.Errorf(resource.Invalid, format, args...)
}

// findEnvironment finds an environment by id, slug or name.
func findEnvironment(tx *store.Tx, space, key string) (*resource.Environment, error) {
	env, err := store.Find[resource.Environment](tx, space, key)
	if err != nil {
		return nil, asInvalid(err, "There is no environment '%s' in this space. List the environments to see their names.", key)
	}
	return env, nil
}

// findChannel finds a channel of the project; "" means its default one.
func findChannel(tx *store.Tx, project *resource.Project, key string) (*resource.Channel, error) {
	channels, err := channelsOf(tx, project)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(channels, func(c resource.Channel) bool {
		return key == "" && c.IsDefault || key != "" && (c.ID == key || strings.EqualFold(c.Name, key) || strings.EqualFold(c.Slug, key))
	})
	if at < 0 {
		return nil, resource.Errorf(resource.Invalid, "Project '%s' has no channel '%s'. List its channels to see their names.", project.Name, key)
	}
	return &channels[at], nil
}

func channelsOf(tx *store.Tx, project *resource.Project) ([]resource.Channel, error) {
	channels, _, err := store.List[resource.Channel](tx, store.Query{Space: project.SpaceID, Where: map[string][]string{"ProjectId": {project.ID}}})
	return channels, err
}

// findRelease finds a release of the project by id or version.
func findRelease(tx *store.Tx, project *resource.Project, key string) (*resource.Release, error) {
	release, err := store.First[resource.Release](tx, store.Query{
		Space: project.SpaceID, Name: key, Where: map[string][]string{"ProjectId": {project.ID}},
	})
	if resource.CodeOf(err) == resource.NotFound {
		release, err = store.GetIn[resource.Release](tx, project.SpaceID, key)
		if err == nil && release.ProjectID != project.ID {
			err = resource.Missing(key)
		}
	}
	return release, asInvalid(err, "Project '%s' has no release '%s'. Create it, or list its releases.", project.Name, key)
}

// lifecycleOf is the lifecycle that a channel's releases follow.
func lifecycleOf(tx *store.Tx, project *resource.Project, channel *resource.Channel) (*resource.Lifecycle, error) {
	id := project.LifecycleID
	if channel != nil && channel.LifecycleID != "" {
		id = channel.LifecycleID
	}
	return store.Get[resource.Lifecycle](tx, id)
}

// environmentsOf are a space's environments in their order.
func environmentsOf(tx *store.Tx, space string) ([]resource.Environment, error) {
	list, _, err := store.List[resource.Environment](tx, store.Query{Space: space})
	return list, err
}

// audit writes what the transaction's actor did.
func audit(tx *store.Tx, category, message, space string, related ...string) error {
	return store.Audit(tx, store.AuditRecord{Category: category, SpaceID: space, Message: message, Related: related})
}
