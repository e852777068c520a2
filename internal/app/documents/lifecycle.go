package documents

import (
	"context"
	"maps"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// PreviewLifecycle is a lifecycle with the phases that it stands for: without
// any, one for each environment in their order (octopus-api.md 2.3).
func (s *Service) PreviewLifecycle(ctx context.Context, by app.Caller, space, key string) (out *resource.Lifecycle, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		doc, err := s.find(tx, by, resource.LifecycleKind, space, key)
		if err != nil {
			return err
		}
		lifecycle := *to[resource.Lifecycle](doc)
		out = &lifecycle
		if len(out.Phases) > 0 {
			return nil
		}
		environments, _, err := s.list(tx, by, resource.EnvironmentKind, space, Query{})
		for _, doc := range environments {
			e := to[resource.Environment](doc)
			out.Phases = append(out.Phases, resource.Phase{
				ID: "implicit-" + e.ID, Name: e.Name, AutomaticDeploymentTargets: []string{}, OptionalDeploymentTargets: []string{e.ID},
			})
		}
		return err
	})
	return out, err
}

// LifecycleProjects are the projects that follow a lifecycle.
func (s *Service) LifecycleProjects(ctx context.Context, by app.Caller, space, key string, page Query) (docs []resource.Doc, total int, err error) {
	return s.Of(ctx, by, space, resource.LifecycleKind, key, resource.ProjectKind, "LifecycleId", page)
}

// Of lists the documents of a kind whose field points at a document of
// another: the channels of a project, the machines of an environment. owner's
// key is an id, a slug or a name.
func (s *Service) Of(ctx context.Context, by app.Caller, space string, owner *resource.Kind, key string, k *resource.Kind, field string, q Query) (docs []resource.Doc, total int, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		doc, err := s.find(tx, by, owner, space, key)
		if err != nil {
			return err
		}
		where := map[string][]string{}
		maps.Copy(where, q.Where)
		where[field] = []string{*doc.Head().ID} // a filter never widens it
		q.Where = where
		docs, total, err = s.list(tx, by, k, space, q)
		return err
	})
	return docs, total, err
}

// GetOf reads a document of a kind below its owner: a channel of a project.
func (s *Service) GetOf(ctx context.Context, by app.Caller, space string, owner *resource.Kind, ownerKey string, k *resource.Kind, field, key string) (resource.Doc, error) {
	docs, _, err := s.Of(ctx, by, space, owner, ownerKey, k, field, Query{})
	if err != nil {
		return nil, err
	}
	for _, doc := range docs {
		if answersTo(doc, key) {
			return doc, nil
		}
	}
	return nil, resource.Missing(key)
}

// answersTo says whether key is the id, the slug or the name of the document.
func answersTo(doc resource.Doc, key string) bool {
	if *doc.Head().ID == key {
		return true
	}
	if slugged, ok := doc.(resource.Slugged); ok && doc.Kind().Slug && *slugged.SlugField() == key {
		return true
	}
	return resource.Fold(nameOf(doc)) == resource.Fold(key)
}
