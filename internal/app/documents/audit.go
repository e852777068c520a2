package documents

import (
	"fmt"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

type change string

const (
	created  change = "created"
	modified change = "changed"
	deleted  change = "deleted"
)

// audit writes the row of a change, in its transaction. A change that changed
// nothing leaves none.
func audit(tx *store.Tx, what change, old, doc resource.Doc) error {
	name := nameOf(doc)
	rec := store.AuditRecord{
		Category: categoryOf(what, doc),
		SpaceID:  *doc.Head().SpaceID,
		Message:  fmt.Sprintf("%s %s was %s.", capital(doc.Kind().Noun), name, what),
		Subjects: []store.Subject{{ID: *doc.Head().ID, Name: name}},
		Related:  related(doc),
	}
	if space, ok := doc.(*resource.Space); ok {
		rec.SpaceID = space.ID
	}
	if what == modified {
		changes, err := store.Diff(old, doc)
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			return nil
		}
		rec.Changes = changes
	}
	return store.Audit(tx, rec)
}

func categoryOf(what change, doc resource.Doc) string {
	if doc.Kind() == resource.MachineKind {
		switch what {
		case created:
			return resource.EventMachineAdded
		case deleted:
			return resource.EventMachineDeleted
		case modified:
		}
	}
	switch what {
	case created:
		return resource.EventCreated
	case deleted:
		return resource.EventDeleted
	case modified:
	}
	return resource.EventModified
}

func capital(noun string) string { return strings.ToUpper(noun[:1]) + noun[1:] }

// nameOf is what people call a document.
func nameOf(doc resource.Doc) string {
	switch d := doc.(type) {
	case *resource.Space:
		return d.Name
	case *resource.Environment:
		return d.Name
	case *resource.Lifecycle:
		return d.Name
	case *resource.ProjectGroup:
		return d.Name
	case *resource.Project:
		return d.Name
	case *resource.LibraryVariableSet:
		return d.Name
	case *resource.Channel:
		return d.Name
	case *resource.Feed:
		return d.Name
	case *resource.Machine:
		return d.Name
	case *resource.MachinePolicy:
		return d.Name
	case *resource.Worker:
		return d.Name
	case *resource.WorkerPool:
		return d.Name
	case *resource.AgentToken:
		return d.Name
	case *resource.Team:
		return d.Name
	case *resource.User:
		return d.Username
	case *resource.UserRole:
		return d.Name
	case *resource.Release:
		return d.Version
	}
	return *doc.Head().ID
}

// related are the documents that the event is also found by.
func related(doc resource.Doc) []string {
	switch d := doc.(type) {
	case *resource.Channel:
		return []string{d.ProjectID}
	case *resource.DeploymentProcess:
		return []string{d.ProjectID}
	case *resource.VariableSet:
		return []string{d.OwnerID}
	case *resource.Machine:
		return d.EnvironmentIDs
	case *resource.Release:
		return []string{d.ProjectID}
	}
	return nil
}
