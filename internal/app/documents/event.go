package documents

import (
	"context"
	"slices"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// EventQuery says which events are wanted; see store.EventQuery.
type EventQuery struct {
	Spaces             []string // nil: all
	System             bool
	Regarding          []string
	RegardingAny       [][]string
	Users              []string
	Categories         []string
	DocumentTypes      []string
	From, To           resource.Time
	FromNumber         int64
	ToNumber           int64
	IDs                []string
	Skip, Take         int
	WithoutDifferences bool
}

// Events lists the audit of the spaces whose audit the caller may see as a
// whole, newest first.
func (s *Service) Events(ctx context.Context, by app.Caller, q EventQuery) (events []resource.Event, total int, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		spaces, system, err := auditOf(tx, by)
		if err != nil {
			return err
		}
		if q.Spaces != nil {
			spaces = slices.DeleteFunc(spaces, func(id string) bool { return !slices.Contains(q.Spaces, id) })
		}
		events, total, err = store.ListEvents(tx, store.EventQuery{
			Spaces: append([]string{}, spaces...), System: system && q.System, Regarding: q.Regarding, RegardingAny: q.RegardingAny, Users: q.Users,
			Categories: q.Categories, DocumentTypes: q.DocumentTypes, From: q.From, To: q.To, FromNumber: q.FromNumber, ToNumber: q.ToNumber,
			IDs: q.IDs, Skip: q.Skip, Take: q.Take,
		})
		if q.WithoutDifferences {
			for i := range events {
				events[i].ChangeDetails.Differences = nil
			}
		}
		return err
	})
	return events, total, err
}

// auditOf are the spaces whose audit the caller sees without a limit, and
// whether he sees the system's.
func auditOf(tx *store.Tx, by app.Caller) (spaces []string, system bool, err error) {
	all, _, err := store.List[resource.Space](tx, store.Query{})
	if err != nil {
		return nil, false, err
	}
	for i := range all {
		at := authz.Scope{Space: all[i].ID, Project: authz.New, ProjectGroup: authz.New, Environment: authz.New, Tenant: authz.New}
		if authz.Can(by.Subject, authz.EventView, at) {
			spaces = append(spaces, all[i].ID)
		}
	}
	return spaces, authz.Can(by.Subject, authz.EventView, authz.Scope{}), nil
}

// Event reads one event.
func (s *Service) Event(ctx context.Context, by app.Caller, id string) (event *resource.Event, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if event, err = store.GetEvent(tx, id); err != nil {
			return err
		}
		spaces, system, err := auditOf(tx, by)
		if err != nil {
			return err
		}
		if event.SpaceID == "" && !system || event.SpaceID != "" && !slices.Contains(spaces, event.SpaceID) {
			return resource.Missing(id)
		}
		return nil
	})
	return event, err
}

// Counts says how many documents there are, by route, over all spaces.
func (s *Service) Counts(ctx context.Context, by app.Caller) (counts map[string]int, err error) {
	if err := app.Allow(by, authz.ConfigureServer, authz.Scope{}); err != nil {
		return nil, err
	}
	counts = map[string]int{}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		for _, k := range resource.Kinds() {
			if k.Route == "" {
				continue
			}
			n, err := store.CountDocs(tx, k, store.Query{AllSpaces: true})
			if err != nil {
				return err
			}
			counts[k.Route] = n
		}
		return nil
	})
	return counts, err
}
