// Package feed holds the use cases of the built-in feed: pushing packages and
// reading their bytes. A package's bytes live in the blob store under their
// digest; its document says what they are called.
package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/packages"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// MaxPackage is how many bytes a package may have.
const MaxPackage = 20 << 30

// Mode says what happens to a package that is there already.
type Mode string

// The modes (octopus-api.md 2.11).
const (
	FailIfExists      Mode = "FailIfExists"
	IgnoreIfExists    Mode = "IgnoreIfExists"
	OverwriteExisting Mode = "OverwriteExisting"
)

// Service is the use cases of the built-in feed.
type Service struct {
	db    *store.DB
	bytes blob.Store
	// naming is held while bytes get a document and while unused ones are
	// deleted, so that no package is named whose bytes have just gone.
	naming sync.Mutex
}

// New makes the service.
func New(db *store.DB, bytes blob.Store) *Service { return &Service{db: db, bytes: bytes} }

// Push stores a package under the id and version of its file name (a .nupkg's
// own description wins). The bytes are stored and inspected before anything is
// visible: a package that no agent would install is refused by the name of the
// entry (abuse 43-48), and nothing is left of an upload that breaks off.
// made is false when the package existed and was left alone.
func (s *Service) Push(ctx context.Context, who app.Caller, space, fileName string, r io.Reader, mode Mode) (pkg *resource.Package, made bool, err error) {
	if err := app.Allow(who, authz.PackagePush, authz.Scope{Space: space}); err != nil {
		return nil, false, err
	}
	name, err := packages.ParseFileName(fileName)
	if err != nil {
		return nil, false, err
	}
	if !packages.Supported(name.Extension) {
		return nil, false, resource.Errorf(resource.Invalid, "Packages of type '%s' are not supported. Push a .zip, .nupkg or .tar.gz.", name.Extension)
	}
	ref, err := s.bytes.Put(ctx, r, MaxPackage)
	if err != nil {
		return nil, false, fmt.Errorf("store package %s: %w", fileName, err)
	}
	pkg, made, err = s.describe(ctx, who, space, name, ref, mode)
	if err != nil || !made {
		err = errors.Join(err, s.dropUnused(ctx, ref.SHA256))
	}
	return pkg, made, err
}

func (s *Service) describe(ctx context.Context, who app.Caller, space string, name packages.FileName, ref blob.Ref, mode Mode) (*resource.Package, bool, error) {
	manifest, err := s.inspect(ctx, ref, name.Extension)
	if err != nil {
		return nil, false, err
	}
	pkg := &resource.Package{
		PackageID: name.ID, Version: name.Version, FileExtension: name.Extension,
		PackageSizeBytes: ref.Size, Hash: ref.SHA1, Sha256: ref.SHA256,
	}
	if spec := manifest.Nuspec; spec != nil && spec.ID != "" && spec.Version != "" {
		pkg.PackageID, pkg.Version, pkg.Title, pkg.Summary = spec.ID, spec.Version, spec.Title, spec.Summary
		pkg.Description, pkg.ReleaseNotes = spec.Description, spec.ReleaseNotes
	}
	if err := errors.Join(packages.ValidateID(pkg.PackageID), packages.ValidateVersion(pkg.Version)); err != nil {
		return nil, false, err
	}
	made := false
	s.naming.Lock()
	defer s.naming.Unlock()
	if there, err := s.bytes.Has(ctx, ref.SHA256); err != nil || !there {
		return nil, false, errors.Join(resource.Errorf(resource.Unavailable, "The package was removed while it was pushed. Push it again."), err)
	}
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(who.Actor())
		stored, fresh, err := save(tx, who, space, pkg, mode)
		if err == nil {
			pkg, made = stored, fresh
		}
		return err
	})
	return pkg, made, err
}

func (s *Service) inspect(ctx context.Context, ref blob.Ref, ext string) (packages.Manifest, error) {
	file, err := s.bytes.Open(ctx, ref.SHA256)
	if err != nil {
		return packages.Manifest{}, fmt.Errorf("open stored package: %w", err)
	}
	manifest, err := packages.Inspect(file, ref.Size, ext)
	return manifest, errors.Join(err, file.Close())
}

// save stores the package's document, or decides about the one that is there.
func save(tx *store.Tx, who app.Caller, space string, pkg *resource.Package, mode Mode) (*resource.Package, bool, error) {
	feed, err := store.First[resource.Feed](tx, store.Query{Space: space, Where: map[string][]string{"FeedType": {string(resource.FeedBuiltIn)}}})
	if err != nil {
		return nil, false, fmt.Errorf("find the built-in feed of %s: %w", space, err)
	}
	pkg.FeedID, pkg.SpaceID, pkg.Published = feed.ID, space, resource.TimeOf(tx.Now())
	pkg.VersionKey = versionKey(pkg.Version)
	old, err := existing(tx, pkg)
	if err != nil {
		return nil, false, err
	}
	if old == nil {
		err := store.InsertAs(tx, pkg, resource.PackageID(space, pkg.PackageID, pkg.Version))
		return pkg, true, errors.Join(err, audit(tx, pkg, "was pushed"))
	}
	if mode == IgnoreIfExists {
		return old, false, nil
	}
	if mode != OverwriteExisting {
		return nil, false, resource.Errorf(resource.Conflict, "Package %s %s already exists in the built-in feed. Push a new version, or say that it should be overwritten.", old.PackageID, old.Version)
	}
	if err := app.Allow(who, authz.PackageAdminister, authz.Scope{Space: space}); err != nil {
		return nil, false, err
	}
	pkg.ID = old.ID
	return pkg, true, errors.Join(store.Update(tx, pkg), audit(tx, pkg, "was overwritten"))
}

func audit(tx *store.Tx, pkg *resource.Package, what string) error {
	return store.Audit(tx, store.AuditRecord{
		Category: resource.EventPackageUploaded, SpaceID: pkg.SpaceID, Related: []string{pkg.ID, pkg.FeedID},
		Message: fmt.Sprintf("Package %s %s %s", pkg.PackageID, pkg.Version, what), Details: "SHA-256 " + pkg.Sha256,
	})
}

// existing finds the package with the same precedence: 1.0 and 1.0.0 are one
// version (abuse 50).
func existing(tx *store.Tx, pkg *resource.Package) (*resource.Package, error) {
	list, _, err := store.List[resource.Package](tx, store.Query{Space: pkg.SpaceID, Where: map[string][]string{"FeedId": {pkg.FeedID}, "PackageId": {pkg.PackageID}}})
	for i := range list {
		if list[i].VersionKey == pkg.VersionKey {
			return &list[i], nil
		}
	}
	return nil, err
}

// versionKey is equal for two spellings of a version.
func versionKey(text string) string {
	v, err := packages.ParseSemver(text)
	if err != nil {
		return resource.Fold(text)
	}
	var b strings.Builder
	for i, n := range v.Numbers {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strconv.Itoa(int(n)))
	}
	for _, label := range v.Labels {
		b.WriteString("-" + resource.Fold(label))
	}
	return b.String()
}

// dropUnused deletes bytes that no package and no release names.
func (s *Service) dropUnused(ctx context.Context, sha256 string) error {
	ctx = context.WithoutCancel(ctx) // the client may be gone; its bytes go too
	if sha256 == "" {
		return nil
	}
	s.naming.Lock()
	defer s.naming.Unlock()
	used := false
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		for kind, field := range map[*resource.Kind]string{resource.PackageKind: "Sha256", resource.ReleaseKind: "SelectedPackages.Sha256"} {
			n, err := store.CountDocs(tx, kind, store.Query{AllSpaces: true, Where: map[string][]string{field: {sha256}}})
			if err != nil {
				return err
			}
			used = used || n > 0
		}
		return nil
	})
	if err != nil || used {
		return err
	}
	return s.bytes.Delete(ctx, sha256)
}

// Delete removes a package from the feed; its bytes go with it unless a
// release still names them (fault 44).
func (s *Service) Delete(ctx context.Context, who app.Caller, space, id string) error {
	var pkg *resource.Package
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		tx.SetActor(who.Actor())
		if pkg, err = store.GetIn[resource.Package](tx, space, id); err != nil {
			return err
		}
		if err := app.Allow(who, authz.PackageAdminister, authz.Scope{Space: space}); err != nil {
			return err
		}
		if err := store.Delete[resource.Package](tx, id); err != nil {
			return err
		}
		return store.Audit(tx, store.AuditRecord{
			Category: resource.EventPackageDeleted, SpaceID: space, Related: []string{id},
			Message: fmt.Sprintf("Package %s %s was deleted", pkg.PackageID, pkg.Version),
		})
	})
	if err != nil {
		return err
	}
	return s.dropUnused(ctx, pkg.Sha256)
}
