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
	// deleted, so that no package is named whose bytes have just gone. It guards
	// pushing: how many pushes are about to name the bytes of a digest.
	naming  sync.Mutex
	pushing map[string]int
}

// New makes the service.
func New(db *store.DB, bytes blob.Store) *Service {
	return &Service{db: db, bytes: bytes, pushing: map[string]int{}}
}

// hold keeps bytes from being dropped as unused until release is called.
func (s *Service) hold(sha256 string) (release func()) {
	s.naming.Lock()
	defer s.naming.Unlock()
	s.pushing[sha256]++
	return func() {
		s.naming.Lock()
		defer s.naming.Unlock()
		if s.pushing[sha256]--; s.pushing[sha256] == 0 {
			delete(s.pushing, sha256)
		}
	}
}

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
	pkg, before, err := s.describe(ctx, who, space, name, ref, mode)
	switch {
	case err != nil:
		return nil, false, errors.Join(err, s.dropUnused(ctx, ref.SHA256))
	case before == nil:
		return pkg, true, nil
	case mode == OverwriteExisting:
		return pkg, true, s.dropUnused(ctx, before.Sha256)
	}
	return pkg, false, s.dropUnused(ctx, ref.SHA256)
}

// describe inspects the stored bytes and names them. before is the package as
// it was, nil when it is new.
func (s *Service) describe(ctx context.Context, who app.Caller, space string, name packages.FileName, ref blob.Ref, mode Mode) (pkg, before *resource.Package, err error) {
	defer s.hold(ref.SHA256)()
	manifest, err := s.inspect(ctx, ref, name.Extension)
	if err != nil {
		return nil, nil, err
	}
	pkg = &resource.Package{
		PackageID: name.ID, Version: name.Version, FileExtension: name.Extension,
		PackageSizeBytes: ref.Size, Hash: ref.SHA1, Sha256: ref.SHA256,
	}
	if spec := manifest.Nuspec; spec != nil && spec.ID != "" && spec.Version != "" {
		pkg.PackageID, pkg.Version, pkg.Title, pkg.Summary = spec.ID, spec.Version, spec.Title, spec.Summary
		pkg.Description, pkg.ReleaseNotes = spec.Description, spec.ReleaseNotes
	}
	if err := errors.Join(packages.ValidateID(pkg.PackageID), packages.ValidateVersion(pkg.Version)); err != nil {
		return nil, nil, err
	}
	s.naming.Lock()
	defer s.naming.Unlock()
	stored := pkg
	err = s.db.Write(ctx, func(tx *store.Tx) (err error) {
		tx.SetActor(who.Actor())
		fresh := *pkg
		stored, before, err = save(tx, who, space, &fresh, mode)
		return err
	})
	return stored, before, err
}

func (s *Service) inspect(ctx context.Context, ref blob.Ref, ext string) (packages.Manifest, error) {
	file, err := s.bytes.Open(ctx, ref.SHA256)
	if errors.Is(err, blob.ErrNotFound) { // dropped as unused just before it was held
		return packages.Manifest{}, resource.Errorf(resource.Unavailable, "The same bytes were removed while they were pushed. Push the package again.")
	}
	if err != nil {
		return packages.Manifest{}, fmt.Errorf("open stored package: %w", err)
	}
	manifest, err := packages.Inspect(file, ref.Size, ext)
	return manifest, errors.Join(err, file.Close())
}

// save stores the package's document, or decides about the one that is there:
// before.
func save(tx *store.Tx, who app.Caller, space string, pkg *resource.Package, mode Mode) (stored, before *resource.Package, err error) {
	feed, err := store.First[resource.Feed](tx, store.Query{Space: space, Where: map[string][]string{"FeedType": {string(resource.FeedBuiltIn)}}})
	if err != nil {
		return nil, nil, fmt.Errorf("find the built-in feed of %s: %w", space, err)
	}
	pkg.FeedID, pkg.SpaceID, pkg.Published = feed.ID, space, resource.TimeOf(tx.Now())
	pkg.VersionKey = versionKey(pkg.Version)
	old, err := existing(tx, pkg)
	switch {
	case err != nil:
		return nil, nil, err
	case old == nil:
		err := store.InsertAs(tx, pkg, resource.PackageID(space, pkg.PackageID, pkg.Version))
		return pkg, nil, errors.Join(err, audit(tx, pkg, "was pushed"))
	case mode == IgnoreIfExists:
		return old, old, nil
	case mode != OverwriteExisting:
		return nil, nil, resource.Errorf(resource.Conflict, "Package %s %s already exists in the built-in feed. Push a new version, or say that it should be overwritten.", old.PackageID, old.Version)
	}
	if err := app.Allow(who, authz.PackageAdminister, authz.Scope{Space: space}); err != nil {
		return nil, nil, err
	}
	pkg.ID = old.ID
	return pkg, old, errors.Join(store.Update(tx, pkg), audit(tx, pkg, "was overwritten"))
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
		if n, err := strconv.ParseUint(label, 10, 31); err == nil {
			label = strconv.FormatUint(n, 10) // labels of digits compare as numbers
		}
		b.WriteString("-" + resource.Fold(label))
	}
	return b.String()
}

// dropUnused deletes bytes that no package, release or artifact and no other
// push names.
func (s *Service) dropUnused(ctx context.Context, sha256 string) error {
	ctx = context.WithoutCancel(ctx) // the client may be gone; its bytes go too
	if sha256 == "" {
		return nil
	}
	s.naming.Lock()
	defer s.naming.Unlock()
	used := s.pushing[sha256] > 0
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		artifact, err := store.IsArtifact(tx, sha256)
		if err != nil {
			return err
		}
		used = used || artifact
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
