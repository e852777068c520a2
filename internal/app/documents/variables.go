package documents

import (
	"cmp"
	"context"
	"slices"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/variables"
)

// Reference names a document by its id and name.
type Reference struct {
	ID   string `json:"Id"`
	Name string
}

// ProcessReference names a process that a variable can be scoped to.
type ProcessReference struct {
	ID          string `json:"Id"`
	Name        string
	ProcessType string
}

// ScopeValues are what the variables of a set can be scoped to (octopus-api.md
// 2.7).
type ScopeValues struct {
	Environments []Reference
	Machines     []Reference
	Actions      []Reference
	Roles        []Reference
	Channels     []Reference
	TenantTags   []Reference
	Processes    []ProcessReference
}

// ScopedSet is a variable set with what its variables can be scoped to.
type ScopedSet struct {
	Set         *resource.VariableSet
	ScopeValues ScopeValues
}

// Variables reads a variable set, a snapshot's included.
func (s *Service) Variables(ctx context.Context, by app.Caller, space, id string) (out ScopedSet, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		doc, err := s.find(tx, by, resource.VariableSetKind, space, id)
		if err != nil {
			return err
		}
		out.Set = to[resource.VariableSet](doc)
		out.ScopeValues, err = s.scopeValues(tx, by, space, out.Set.OwnerID)
		return err
	})
	return out, err
}

// AllVariables reads the sets of a space, or those of ids; snapshots only where
// they are named.
func (s *Service) AllVariables(ctx context.Context, by app.Caller, space string, ids []string) (out []ScopedSet, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		docs, _, err := s.list(tx, by, resource.VariableSetKind, space, Query{IDs: ids})
		for _, doc := range docs {
			set := to[resource.VariableSet](doc)
			if ids == nil && resource.IsSnapshotID(set.ID) {
				continue
			}
			values, err := s.scopeValues(tx, by, space, set.OwnerID)
			if err != nil {
				return err
			}
			out = append(out, ScopedSet{Set: set, ScopeValues: values})
		}
		return err
	})
	return out, err
}

// PutVariables stores a set. A secret that is Kept stays as it is stored for
// the same variable id.
func (s *Service) PutVariables(ctx context.Context, by app.Caller, space, id string, set *resource.VariableSet) (out ScopedSet, err error) {
	if _, err := s.Update(ctx, by, space, id, set); err != nil {
		return out, err
	}
	return s.Variables(ctx, by, space, id)
}

func (s *Service) scopeValues(tx *store.Tx, by app.Caller, space, owner string) (v ScopeValues, err error) {
	v.Actions, v.Channels, v.TenantTags, v.Processes = []Reference{}, []Reference{}, []Reference{}, []ProcessReference{}
	environments, err := s.references(tx, by, resource.EnvironmentKind, space, Query{})
	if err != nil {
		return v, err
	}
	v.Environments = environments
	machines, _, err := s.list(tx, by, resource.MachineKind, space, Query{})
	if err != nil {
		return v, err
	}
	v.Machines = referencesOf(machines)
	var roles []string
	for _, doc := range machines {
		roles = append(roles, to[resource.Machine](doc).Roles...)
	}
	if isOf(owner, resource.ProjectKind) {
		if roles, err = s.projectScopes(tx, by, space, owner, &v, roles); err != nil {
			return v, err
		}
	}
	v.Roles = []Reference{}
	for _, role := range sortedSet(roles) {
		v.Roles = append(v.Roles, Reference{ID: role, Name: role})
	}
	return v, nil
}

func (s *Service) projectScopes(tx *store.Tx, by app.Caller, space, id string, v *ScopeValues, roles []string) ([]string, error) {
	project, err := store.GetIn[resource.Project](tx, space, id)
	if err != nil {
		return nil, err
	}
	v.Processes = append(v.Processes, ProcessReference{ID: project.ID, Name: project.Name, ProcessType: "Deployment"})
	if v.Channels, err = s.references(tx, by, resource.ChannelKind, space, Query{Where: map[string][]string{"ProjectId": {id}}}); err != nil {
		return nil, err
	}
	process, err := store.Get[resource.DeploymentProcess](tx, project.DeploymentProcessID)
	if err != nil {
		return nil, err
	}
	for i := range process.Steps {
		roles = append(roles, process.Steps[i].Roles()...)
		for j := range process.Steps[i].Actions {
			a := &process.Steps[i].Actions[j]
			v.Actions = append(v.Actions, Reference{ID: a.ID, Name: a.Name})
		}
	}
	return roles, nil
}

func (s *Service) references(tx *store.Tx, by app.Caller, k *resource.Kind, space string, q Query) ([]Reference, error) {
	docs, _, err := s.list(tx, by, k, space, q)
	return referencesOf(docs), err
}

func referencesOf(docs []resource.Doc) []Reference {
	list := make([]Reference, 0, len(docs))
	for _, doc := range docs {
		list = append(list, Reference{ID: *doc.Head().ID, Name: nameOf(doc)})
	}
	return list
}

// VariableNames are the names that a project's deployments know, sorted; with
// no project, those of the space's library sets.
func (s *Service) VariableNames(ctx context.Context, by app.Caller, space, project string) (names []string, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		sets, err := s.setsOf(tx, by, space, project)
		for _, set := range sets {
			for i := range set.Variables {
				names = append(names, set.Variables[i].Name)
			}
		}
		names = sortedSet(names)
		return err
	})
	return names, err
}

// setsOf are the variable sets that count for a project: its own first, then
// the library sets it includes, in their order. The caller needs to see each.
func (s *Service) setsOf(tx *store.Tx, by app.Caller, space, key string) ([]*resource.VariableSet, error) {
	var ids []string
	if key != "" {
		project, err := s.project(tx, by, space, key)
		if err != nil {
			return nil, err
		}
		if err := app.Allow(by, authz.VariableView, ProjectScope(project)); err != nil {
			return nil, err
		}
		ids = append(ids, project.VariableSetID)
		for _, id := range project.IncludedLibraryVariableSetIDs {
			ids = append(ids, resource.VariableSetID(id))
		}
	} else {
		libraries, _, err := s.list(tx, by, resource.LibraryVariableSetKind, space, Query{Where: map[string][]string{"ContentType": {"Variables"}}})
		if err != nil {
			return nil, err
		}
		for _, doc := range libraries {
			ids = append(ids, to[resource.LibraryVariableSet](doc).VariableSetID)
		}
	}
	var sets []*resource.VariableSet
	for _, id := range ids {
		set, err := store.GetIn[resource.VariableSet](tx, space, id)
		if err != nil {
			return nil, err
		}
		sets = append(sets, set)
	}
	return sets, nil
}

// PreviewContext says what variables are resolved for; ids, slugs or names.
type PreviewContext struct {
	Project, Environment, Channel, Tenant, Action, Machine, Role string
}

// Preview resolves a project's variables in a context, and shows no secret.
func (s *Service) Preview(ctx context.Context, by app.Caller, space string, in PreviewContext) (out ScopedSet, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		project, err := s.project(tx, by, space, in.Project)
		if err != nil {
			return err
		}
		sets, err := s.setsOf(tx, by, space, project.ID)
		if err != nil {
			return err
		}
		at, err := s.previewContext(tx, by, space, project, in)
		if err != nil {
			return err
		}
		out.Set = &resource.VariableSet{ID: project.VariableSetID, OwnerID: project.ID, SpaceID: space, Version: sets[0].Version, Variables: []resource.Variable{}}
		for _, choice := range variables.Resolve(candidatesOf(sets), at).Choices {
			out.Set.Variables = append(out.Set.Variables, *choice.Variable)
		}
		slices.SortStableFunc(out.Set.Variables, func(a, b resource.Variable) int {
			return cmp.Compare(resource.Fold(a.Name), resource.Fold(b.Name))
		})
		out.ScopeValues, err = s.scopeValues(tx, by, space, project.ID)
		return err
	})
	return out, err
}

// candidatesOf are the variables of a project's sets, the project's own first.
func candidatesOf(sets []*resource.VariableSet) []variables.Candidate {
	var list []variables.Candidate
	for n, set := range sets {
		rank := variables.Library
		if n == 0 {
			rank = variables.Project
		}
		for i := range set.Variables {
			list = append(list, variables.Candidate{Variable: &set.Variables[i], SetID: set.ID, Rank: rank, Order: n})
		}
	}
	return list
}

func (s *Service) previewContext(tx *store.Tx, by app.Caller, space string, project *resource.Project, in PreviewContext) (variables.Context, error) {
	at := variables.Context{Project: project.ID, ProcessOwners: []string{project.ID}, Action: in.Action, Tenant: in.Tenant}
	for _, part := range []struct {
		key  string
		kind *resource.Kind
		id   *string
	}{{in.Environment, resource.EnvironmentKind, &at.Environment}, {in.Channel, resource.ChannelKind, &at.Channel}} {
		if part.key == "" {
			continue
		}
		doc, err := s.find(tx, by, part.kind, space, part.key)
		if err != nil {
			return at, err
		}
		*part.id = *doc.Head().ID
	}
	if in.Machine != "" {
		doc, err := s.find(tx, by, resource.MachineKind, space, in.Machine)
		if err != nil {
			return at, err
		}
		at.Machine, at.MachineRoles = *doc.Head().ID, to[resource.Machine](doc).Roles
		at.StepRoles = at.MachineRoles
	}
	if in.Role != "" {
		at.MachineRoles = append(slices.Clone(at.MachineRoles), in.Role)
		at.StepRoles = []string{in.Role}
	}
	return at, nil
}
