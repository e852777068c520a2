package feed

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/packages"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// Query narrows a list of packages.
type Query struct {
	ID         string // the whole id, in any case; all versions
	Filter     string // part of the id
	Latest     bool   // only the highest version of each
	Skip, Take int    // Take 0: all
}

// List reads the packages of a space's feed by id, the highest version first.
func (s *Service) List(ctx context.Context, who app.Caller, space string, q Query) (list []resource.Package, total int, err error) {
	if err := app.Allow(who, authz.PackageView, authz.Scope{Space: space}); err != nil {
		return nil, 0, err
	}
	query := store.Query{Space: space, PartialName: q.Filter}
	if q.ID != "" {
		query.Where = map[string][]string{"PackageId": {q.ID}}
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		list, _, err = store.List[resource.Package](tx, query)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	slices.SortStableFunc(list, byIDNewestFirst)
	if q.Latest {
		list = slices.CompactFunc(list, func(a, b resource.Package) bool { return strings.EqualFold(a.PackageID, b.PackageID) })
	}
	total = len(list)
	list = list[min(q.Skip, total):]
	if q.Take > 0 {
		list = list[:min(q.Take, len(list))]
	}
	return list, total, nil
}

// byIDNewestFirst orders packages by id, then from the highest version down. A
// version that does not compare is the lowest.
func byIDNewestFirst(a, b resource.Package) int {
	if by := strings.Compare(resource.Fold(a.PackageID), resource.Fold(b.PackageID)); by != 0 {
		return by
	}
	return versionOf(b).Compare(versionOf(a))
}

func versionOf(p resource.Package) packages.Version {
	v, err := packages.ParseOctopus(p.Version)
	if err != nil {
		return packages.Version{}
	}
	return v
}

// Get reads a package's description.
func (s *Service) Get(ctx context.Context, who app.Caller, space, id string) (pkg *resource.Package, err error) {
	if err := app.Allow(who, authz.PackageView, authz.Scope{Space: space}); err != nil {
		return nil, err
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		pkg, err = store.GetIn[resource.Package](tx, space, id)
		return err
	})
	return pkg, err
}

// Open reads a package's bytes.
func (s *Service) Open(ctx context.Context, who app.Caller, space, id string) (*resource.Package, blob.Reader, error) {
	pkg, err := s.Get(ctx, who, space, id)
	if err != nil {
		return nil, nil, err
	}
	file, err := s.bytes.Open(ctx, pkg.Sha256)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, nil, resource.Errorf(resource.Unavailable, "The bytes of package %s are missing from the server's store. Push it again.", pkg.ID)
	}
	return pkg, file, err
}
