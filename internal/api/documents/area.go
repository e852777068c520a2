// Package documents is the part of the API that people edit documents with:
// one set of routes for every kind, and the special ones of projects,
// processes, variables, lifecycles, channels, feeds, machines and spaces
// (octopus-api.md 2.1-2.10, 2.15, 2.16).
package documents

import (
	"slices"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/documents"
	"github.com/slipwayhq/slipway/internal/resource"
)

type area struct{ docs *documents.Service }

// Area is the routes of documents. docs may be nil for an API that is only
// described.
func Area(docs *documents.Service) api.Area {
	a := &area{docs}
	return api.Area{Name: "Documents", Routes: slices.Concat(
		a.spaces(), a.environments(), a.lifecycles(), a.projects(), a.processes(), a.variables(), a.channels(), a.feeds(), a.machines(), a.tokens(),
		a.crud(resource.ProjectGroupKind, options{}),
		a.crud(resource.LibraryVariableSetKind, options{}),
		a.crud(resource.WorkerPoolKind, options{}),
		a.below(resource.ProjectGroupKind, "/projectgroups/{id}/projects", resource.ProjectKind, "ProjectGroupId", "The projects of a group"),
		a.below(resource.WorkerPoolKind, "/workerpools/{id}/workers", resource.WorkerKind, "WorkerPoolIds", "The workers of a pool"),
	)}
}
