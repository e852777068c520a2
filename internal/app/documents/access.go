package documents

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// seesAll says whether no limit narrows what the caller sees of a kind in a
// space, so that the database can count and page for him.
func seesAll(by app.Caller, k *resource.Kind, space string) (bool, error) {
	if k == resource.SpaceKind {
		return authz.Can(by.Subject, authz.SpaceView, authz.Scope{}), nil
	}
	p, err := authz.For(k.Permission, authz.View)
	if err != nil {
		return false, fmt.Errorf("list %s: %w", k.Route, err)
	}
	at := authz.Scope{Space: space, Project: authz.New, ProjectGroup: authz.New, Environment: authz.New, Tenant: authz.New}
	return authz.Can(by.Subject, p, at), nil
}

// mayView answers a document that the caller may not see as missing (abuse 30).
// One in several scopes is seen by who may see any of them.
func mayView(tx *store.Tx, by app.Caller, doc resource.Doc) error {
	missing := resource.Missing(*doc.Head().ID)
	if space, ok := doc.(*resource.Space); ok {
		if authz.CanEnter(by.Subject, space.ID) {
			return nil
		}
		return missing
	}
	p, err := authz.For(permissionOf(doc), authz.View)
	if err != nil {
		return err
	}
	scopes, err := scopesOf(tx, doc)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(scopes, func(at authz.Scope) bool { return authz.Can(by.Subject, p, at) }) {
		return nil
	}
	return missing
}

// mayDo refuses a change unless the caller may make it in every scope of the
// document.
func mayDo(tx *store.Tx, by app.Caller, verb authz.Verb, doc resource.Doc) error {
	p, err := authz.For(permissionOf(doc), verb)
	if err != nil {
		return err
	}
	scopes, err := scopesOf(tx, doc)
	if err != nil {
		return err
	}
	for _, at := range scopes {
		if err := app.Allow(by, p, at); err != nil {
			return err
		}
	}
	return nil
}

// permissionOf is the stem of the permissions for a document. The variables of
// a library set are the set's.
func permissionOf(doc resource.Doc) string {
	if set, ok := doc.(*resource.VariableSet); ok && isOf(set.OwnerID, resource.LibraryVariableSetKind) {
		return resource.LibraryVariableSetKind.Permission
	}
	return doc.Kind().Permission
}

func isOf(id string, k *resource.Kind) bool { return strings.HasPrefix(id, k.IDPrefix+"-") }

// scopesOf says where a document is, for authorisation: at least one scope.
func scopesOf(tx *store.Tx, doc resource.Doc) ([]authz.Scope, error) {
	at := authz.Scope{Space: *doc.Head().SpaceID}
	switch d := doc.(type) {
	case *resource.Space:
		return []authz.Scope{{}}, nil
	case *resource.Environment:
		at.Environment = orNew(d.ID)
	case *resource.ProjectGroup:
		at.ProjectGroup = orNew(d.ID)
	case *resource.Project:
		at.Project, at.ProjectGroup = orNew(d.ID), d.ProjectGroupID
	case *resource.Channel:
		return inProject(tx, at, d.ProjectID)
	case *resource.DeploymentProcess:
		return inProject(tx, at, d.ProjectID)
	case *resource.VariableSet:
		if isOf(d.OwnerID, resource.ProjectKind) {
			return inProject(tx, at, d.OwnerID)
		}
	case *resource.Machine:
		return inEnvironments(at, d.EnvironmentIDs), nil
	case *resource.AgentToken:
		return inEnvironments(at, d.EnvironmentIDs), nil
	}
	return []authz.Scope{at}, nil
}

func orNew(id string) string {
	if id == "" {
		return authz.New
	}
	return id
}

func inEnvironments(at authz.Scope, environments []string) []authz.Scope {
	if len(environments) == 0 {
		at.Environment = authz.New
		return []authz.Scope{at}
	}
	scopes := make([]authz.Scope, len(environments))
	for i, id := range environments {
		scopes[i] = at
		scopes[i].Environment = id
	}
	return scopes
}

// inProject is the scope of what a project owns. A project that is not there,
// or is in another space, is for the reference check to refuse: nobody but who
// may do it to all projects gets that far.
func inProject(tx *store.Tx, at authz.Scope, id string) ([]authz.Scope, error) {
	at.Project, at.ProjectGroup = authz.New, authz.New
	project, err := store.GetIn[resource.Project](tx, at.Space, id)
	switch {
	case resource.CodeOf(err) == resource.NotFound:
	case err != nil:
		return nil, fmt.Errorf("scope of project %s: %w", id, err)
	default:
		at.Project, at.ProjectGroup = project.ID, project.ProjectGroupID
	}
	return []authz.Scope{at}, nil
}

// ProjectScope is where a project's things are, for use cases of other areas.
func ProjectScope(p *resource.Project) authz.Scope {
	return authz.Scope{Space: p.SpaceID, Project: p.ID, ProjectGroup: p.ProjectGroupID}
}
