package documents

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/packages"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// PackageSearch says which packages of a feed are wanted.
type PackageSearch struct {
	Term         string // part of the id; all of it unless Partial
	Partial      bool
	Exact        string // the id
	VersionRange string
	Tag          string // a pattern of the pre-release part
	PreRelease   bool   // pre-releases too
	Skip, Take   int
}

// PackageDescription is a package of a feed with its newest version.
type PackageDescription struct {
	ID            string `json:"Id"`
	Name          string
	Description   string
	LatestVersion string
}

// SearchPackages finds packages of a feed by name. Only built-in feeds are
// asked: another's answer is empty (octopus-api.md 2.10).
func (s *Service) SearchPackages(ctx context.Context, by app.Caller, space, feed string, q PackageSearch) (out []PackageDescription, total int, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		list, err := s.packagesOf(tx, by, space, feed, func(p *resource.Package) bool {
			id, term := resource.Fold(p.PackageID), resource.Fold(q.Term)
			return term == "" || id == term || q.Partial && strings.Contains(id, term)
		})
		if err != nil {
			return err
		}
		newest := map[string]*versioned{}
		var ids []string
		for i := range list {
			key := resource.Fold(list[i].PackageID)
			if newest[key] == nil {
				ids = append(ids, key)
			}
			if newest[key] == nil || list[i].version.Compare(newest[key].version) > 0 {
				newest[key] = &list[i]
			}
		}
		slices.Sort(ids)
		total = len(ids)
		for _, id := range cut(ids, q.Skip, q.Take) {
			p := newest[id]
			out = append(out, PackageDescription{ID: p.PackageID, Name: p.PackageID, Description: p.Description, LatestVersion: p.Version})
		}
		return nil
	})
	return out, total, err
}

// PackageVersions are the versions of one package of a feed, newest first.
func (s *Service) PackageVersions(ctx context.Context, by app.Caller, space, feed string, q PackageSearch) (out []resource.Package, total int, err error) {
	within, err := ParseVersionRange(q.VersionRange)
	if err != nil {
		return nil, 0, err
	}
	tag, err := tagPattern(q.Tag)
	if err != nil {
		return nil, 0, err
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		list, err := s.packagesOf(tx, by, space, feed, func(p *resource.Package) bool { return resource.Fold(p.PackageID) == resource.Fold(q.Exact) })
		if err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(v versioned) bool { return !passes(v, q, within, tag) })
		slices.SortStableFunc(list, func(a, b versioned) int { return b.version.Compare(a.version) })
		total = len(list)
		for _, v := range cut(list, q.Skip, q.Take) {
			out = append(out, *v.Package)
		}
		return nil
	})
	return out, total, err
}

func passes(v versioned, q PackageSearch, within VersionRange, tag *regexp.Regexp) bool {
	if !within.Holds(v.version) || v.version.Prerelease() && !q.PreRelease && tag == nil {
		return false
	}
	return tag == nil || tag.MatchString(preRelease(v.Version))
}

// versioned is a package with its version as it compares.
type versioned struct {
	*resource.Package
	version packages.Version
}

// packagesOf are the packages of a feed that match. One whose version does not
// compare is the oldest.
func (s *Service) packagesOf(tx *store.Tx, by app.Caller, space, key string, want func(*resource.Package) bool) ([]versioned, error) {
	doc, err := s.find(tx, by, resource.FeedKind, space, key)
	if err != nil {
		return nil, err
	}
	feed := to[resource.Feed](doc)
	if !feed.IsBuiltIn() {
		return nil, nil
	}
	all, _, err := store.List[resource.Package](tx, store.Query{Space: space, Where: map[string][]string{"FeedId": {feed.ID}}})
	if err != nil {
		return nil, err
	}
	var list []versioned
	for i := range all {
		if !want(&all[i]) {
			continue
		}
		v, err := packages.ParseOctopus(all[i].Version)
		if err != nil {
			v = packages.Version{}
		}
		list = append(list, versioned{&all[i], v})
	}
	return list, nil
}

func cut[T any](list []T, skip, take int) []T {
	from := min(skip, len(list))
	return list[from:min(from+take, len(list))]
}

// CountPackages counts the packages of a space's built-in feed.
func (s *Service) CountPackages(ctx context.Context, by app.Caller, space string) (n int, err error) {
	if err := app.Allow(by, authz.FeedView, authz.Scope{Space: space}); err != nil {
		return 0, err
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err = store.CountDocs(tx, resource.PackageKind, store.Query{Space: space})
		return err
	})
	return n, err
}
