package feed_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/app/feed"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/secret"
	"github.com/slipwayhq/slipway/internal/store"
	"github.com/slipwayhq/slipway/internal/store/storetest"
)

const space = resource.DefaultSpace

// rig is the built-in feed over a real store and a real blob folder.
type rig struct {
	*feed.Service
	t     *testing.T
	db    *store.DB
	blobs string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	folder := t.TempDir()
	keys, err := secret.Load(folder)
	check(t, err)
	db, err := store.Open(t.Context(), store.Config{Path: folder, Database: storetest.Database(t), Keys: keys, Now: time.Now})
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	storetest.Seed(t, db)
	r := &rig{t: t, db: db, blobs: filepath.Join(folder, "blobs")}
	disk, err := blob.OpenDisk(r.blobs)
	check(t, err)
	t.Cleanup(func() { check(t, disk.Close()) })
	r.Service = feed.New(db, disk)
	return r
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// may is a caller with these permissions in the default space.
func may(permissions ...authz.Permission) app.Caller {
	return app.Caller{Subject: authz.Subject{UserID: "Users-1", Username: "admin", Grants: []authz.Grant{{
		Space: space, Permissions: authz.SetOf(permissions...),
		Projects: authz.Any(), ProjectGroups: authz.Any(), Environments: authz.Any(), Tenants: authz.Any(),
	}}}}
}

func everything() app.Caller {
	return may(authz.PackagePush, authz.PackageAdminister, authz.PackageView)
}

func (r *rig) push(file string, content []byte, mode feed.Mode) (*resource.Package, bool, error) {
	r.t.Helper()
	return r.Push(r.t.Context(), everything(), space, file, bytes.NewReader(content), mode)
}

// stored are the blobs on disk, those being written included.
func (r *rig) stored() []string {
	r.t.Helper()
	var names []string
	check(r.t, filepath.WalkDir(r.blobs, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			names = append(names, entry.Name())
		}
		return err
	}))
	slices.Sort(names)
	return names
}

// content reads what the feed serves for a package.
func (r *rig) content(id string) string {
	r.t.Helper()
	_, file, err := r.Open(r.t.Context(), everything(), space, id)
	check(r.t, err)
	defer file.Close()
	text, err := io.ReadAll(file)
	check(r.t, err)
	return string(text)
}

func archive(t *testing.T, entries ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i, name := range entries {
		f, err := w.Create(name)
		check(t, err)
		_, err = fmt.Fprintf(f, "entry %d of %d", i, len(entries))
		check(t, err)
	}
	check(t, w.Close())
	return out.Bytes()
}

func refusedFor(t *testing.T, err error, code resource.Code, parts ...string) {
	t.Helper()
	known, ok := errors.AsType[*resource.Error](err)
	if !ok || known.Code != code {
		t.Fatalf("got %v, want a refusal: %s", err, code)
	}
	for _, part := range parts {
		if !strings.Contains(known.Message, part) {
			t.Errorf("%q does not say %q", known.Message, part)
		}
	}
}

func TestPush(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	content := archive(t, "a.txt", "bin/b.txt")
	pkg, made, err := r.push("Shop.Web.1.2.3-rc.1.zip", content, feed.FailIfExists)
	check(t, err)
	if !made || pkg.PackageID != "Shop.Web" || pkg.Version != "1.2.3-rc.1" || pkg.FileExtension != ".zip" || pkg.PackageSizeBytes != int64(len(content)) ||
		pkg.FeedID != resource.BuiltInFeed || len(pkg.Sha256) != 64 || len(pkg.Hash) != 40 {
		t.Errorf("package: %+v", pkg)
	}
	if got := r.content(pkg.ID); got != string(content) {
		t.Error("the feed serves other bytes than it was given")
	}
}

// TestPushRefused: nothing is left of what is no package, or no whole one
// (abuse 43, 46, 48, 49, 52).
func TestPushRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	whole := archive(t, "a.txt", "b.txt")
	for name, c := range map[string]struct {
		file  string
		r     io.Reader
		parts []string
	}{
		"truncated":           {"Shop.1.0.0.zip", bytes.NewReader(whole[:len(whole)/2]), nil},
		"one byte short":      {"Shop.1.0.0.zip", bytes.NewReader(whole[:len(whole)-1]), nil},
		"empty":               {"Shop.1.0.0.zip", bytes.NewReader(nil), nil},
		"a text":              {"Shop.1.0.0.zip", strings.NewReader("this is no archive"), nil},
		"a zip called tar.gz": {"Shop.1.0.0.tar.gz", bytes.NewReader(whole), nil},
		"climbing out":        {"Shop.1.0.0.zip", bytes.NewReader(archive(t, "a.txt", "../evil.txt")), []string{"../evil.txt"}},
		"climbing in between": {"Shop.1.0.0.zip", bytes.NewReader(archive(t, "x/../../evil.txt")), []string{"evil.txt"}},
		"absolute":            {"Shop.1.0.0.zip", bytes.NewReader(archive(t, "/etc/evil.txt")), []string{"/etc/evil.txt"}},
		"drive":               {"Shop.1.0.0.zip", bytes.NewReader(archive(t, `C:\evil.txt`)), []string{"evil.txt"}},
		"backslashes":         {"Shop.1.0.0.zip", bytes.NewReader(archive(t, `..\evil.txt`)), []string{"evil.txt"}},
		"twice the same":      {"Shop.1.0.0.zip", bytes.NewReader(archive(t, "a.txt", "a.txt")), []string{"a.txt"}},
		"no version":          {"Shop.zip", bytes.NewReader(whole), nil},
		"no extension":        {"Shop.1.0.0", bytes.NewReader(whole), nil},
		"unknown extension":   {"Shop.1.0.0.exe", bytes.NewReader(whole), nil},
		"a path as name":      {"../../Shop.1.0.0.zip", bytes.NewReader(whole), nil},
		"an option as name":   {"-rf.1.0.0.zip", bytes.NewReader(whole), nil},
	} {
		_, _, err := r.Push(t.Context(), everything(), space, c.file, c.r, feed.OverwriteExisting)
		if resource.CodeOf(err) != resource.Invalid {
			t.Errorf("%s: %v", name, err)
			continue
		}
		refusedFor(t, err, resource.Invalid, c.parts...)
	}
	cut := io.MultiReader(bytes.NewReader(whole[:len(whole)*99/100]), iotest.ErrReader(io.ErrUnexpectedEOF))
	if _, _, err := r.Push(t.Context(), everything(), space, "Shop.1.0.0.zip", cut, feed.FailIfExists); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut off at 99 %%: %v", err)
	}
	if left := r.stored(); len(left) != 0 {
		t.Errorf("%d files are left: %v", len(left), left)
	}
	if list, _, err := r.List(t.Context(), everything(), space, feed.Query{}); err != nil || len(list) != 0 {
		t.Errorf("packages: %v, %v", list, err)
	}
}

// TestPushAgain are the rules for a version that is there (abuse 50, 51).
func TestPushAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first, second := archive(t, "one.txt"), archive(t, "two.txt", "three.txt")
	pkg, _, err := r.push("Shop.1.0.0.zip", first, feed.FailIfExists)
	check(t, err)
	for _, file := range []string{"Shop.1.0.0.zip", "shop.1.0.0.zip", "Shop.1.0.zip", "Shop.1.0.0+build.7.zip", "Shop.01.0.0.zip"} {
		_, _, err := r.push(file, second, feed.FailIfExists)
		refusedFor(t, err, resource.Conflict, "1.0.0", "already exists")
	}
	same, made, err := r.push("Shop.1.0.0.zip", second, feed.IgnoreIfExists)
	check(t, err)
	if made || same.Sha256 != pkg.Sha256 || r.content(pkg.ID) != string(first) {
		t.Error("an ignored push changed the package")
	}
	if left := r.stored(); len(left) != 1 || left[0] != pkg.Sha256 {
		t.Errorf("blobs: %v", left)
	}
	pusher := may(authz.PackagePush)
	_, _, err = r.Push(t.Context(), pusher, space, "Shop.1.0.0.zip", bytes.NewReader(second), feed.OverwriteExisting)
	refusedFor(t, err, resource.Forbidden)
	newer, made, err := r.push("Shop.1.0.0.zip", second, feed.OverwriteExisting)
	check(t, err)
	if !made || newer.ID != pkg.ID || r.content(pkg.ID) != string(second) {
		t.Error("an overwriting push left the package")
	}
	if left := r.stored(); len(left) != 1 || left[0] != newer.Sha256 {
		t.Errorf("the old bytes are not gone: %v", left)
	}
	if _, made, err = r.push("Shop.1.0.0.zip", second, feed.OverwriteExisting); err != nil || !made || r.content(pkg.ID) != string(second) {
		t.Errorf("overwriting with the same bytes: %v", err)
	}
	_, _, err = r.push("Shop.1.0.0-rc.1.zip", first, feed.FailIfExists)
	check(t, err)
	_, _, err = r.push("Shop.1.0.0-rc.01.zip", first, feed.FailIfExists)
	refusedFor(t, err, resource.Conflict)
	stranger := app.Caller{Subject: authz.Subject{UserID: "Users-9"}}
	_, _, err = r.Push(t.Context(), stranger, space, "Shop.2.0.0.zip", bytes.NewReader(first), feed.FailIfExists)
	refusedFor(t, err, resource.Forbidden)
}

// TestDeleteKeepsWhatReleasesName: a release can be deployed again after its
// package was deleted or overwritten (fault 44, abuse 51, 94), and an artifact
// with the bytes of a deleted package can still be read.
func TestDeleteKeepsWhatReleasesName(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	named, _, err := r.push("Shop.1.0.0.zip", archive(t, "named.txt"), feed.FailIfExists)
	check(t, err)
	loose, _, err := r.push("Shop.2.0.0.zip", archive(t, "loose.txt"), feed.FailIfExists)
	check(t, err)
	project := storetest.Project(t, r.db, "Shop")
	channel := &resource.Channel{Name: "Default", ProjectID: project.ID, IsDefault: true}
	storetest.Insert(t, r.db, channel)
	release := &resource.Release{
		ProjectID: project.ID, ChannelID: channel.ID, Version: "1.0.0",
		ProjectVariableSetSnapshotID: project.VariableSetID, ProjectDeploymentProcessSnapshotID: project.DeploymentProcessID,
		SelectedPackages: []resource.SelectedPackage{{ActionName: "Install", Version: "1.0.0", Sha256: named.Sha256}},
	}
	storetest.Insert(t, r.db, release)
	other, _, err := r.push("Shop.1.0.0.zip", archive(t, "other.txt"), feed.OverwriteExisting)
	check(t, err)
	check(t, r.Delete(t.Context(), everything(), space, other.ID))
	check(t, r.Delete(t.Context(), everything(), space, loose.ID))
	if left := r.stored(); len(left) != 1 || left[0] != named.Sha256 {
		t.Errorf("blobs: %v, want %s alone", left, named.Sha256)
	}
	handedIn, _, err := r.push("Shop.3.0.0.zip", archive(t, "handed-in.txt"), feed.FailIfExists)
	check(t, err)
	storetest.Write(t, r.db, func(tx *store.Tx) error {
		return store.SaveArtifact(tx, &store.Artifact{Attempt: "ServerTasks-1.0.0.Machines-1.1", Item: "0", Name: "shop.zip", Size: 1, SHA256: handedIn.Sha256})
	})
	check(t, r.Delete(t.Context(), everything(), space, handedIn.ID))
	if left := r.stored(); len(left) != 2 {
		t.Errorf("blobs: %v, want the artifact's beside %s", left, named.Sha256)
	}
	_, err = r.Get(t.Context(), everything(), space, named.ID)
	refusedFor(t, err, resource.NotFound)
	refusedFor(t, r.Delete(t.Context(), everything(), space, named.ID), resource.NotFound)
	refusedFor(t, r.Delete(t.Context(), may(authz.PackagePush), space, named.ID), resource.NotFound)
}

// TestConcurrentPushes: of many who push one version, one makes it; all others
// are told, and its bytes are there.
func TestConcurrentPushes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const pushers = 12
	var wg sync.WaitGroup
	made, conflicts := make(chan *resource.Package, pushers), make(chan error, pushers)
	for i := range pushers {
		content := archive(t, fmt.Sprintf("of-%d.txt", i%3)) // some push the same bytes
		wg.Go(func() {
			pkg, _, err := r.Push(t.Context(), everything(), space, "Shop.1.0.0.zip", bytes.NewReader(content), feed.FailIfExists)
			if err != nil {
				conflicts <- err
				return
			}
			made <- pkg
		})
	}
	wg.Wait()
	close(made)
	close(conflicts)
	winner := <-made
	if winner == nil || len(made) != 0 {
		t.Fatal("want exactly one push to succeed")
	}
	for err := range conflicts {
		if code := resource.CodeOf(err); code != resource.Conflict && code != resource.Unavailable {
			t.Errorf("a loser got %v", err)
		}
	}
	if left := r.stored(); len(left) != 1 || left[0] != winner.Sha256 {
		t.Errorf("blobs: %v, want %s", left, winner.Sha256)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for i, file := range []string{"Shop.Web.1.9.0.zip", "Shop.Web.1.10.0.zip", "Shop.Web.1.10.0-rc.zip", "Db.2.0.0.zip"} {
		_, _, err := r.push(file, archive(t, fmt.Sprintf("%d.txt", i)), feed.FailIfExists)
		check(t, err)
	}
	for name, c := range map[string]struct {
		q     feed.Query
		want  []string
		total int
	}{
		"all":           {feed.Query{}, []string{"Db 2.0.0", "Shop.Web 1.10.0", "Shop.Web 1.10.0-rc", "Shop.Web 1.9.0"}, 4},
		"a page":        {feed.Query{Skip: 1, Take: 2}, []string{"Shop.Web 1.10.0", "Shop.Web 1.10.0-rc"}, 4},
		"past the end":  {feed.Query{Skip: 9, Take: 2}, nil, 4},
		"latest":        {feed.Query{Latest: true}, []string{"Db 2.0.0", "Shop.Web 1.10.0"}, 2},
		"by id":         {feed.Query{ID: "shop.web"}, []string{"Shop.Web 1.10.0", "Shop.Web 1.10.0-rc", "Shop.Web 1.9.0"}, 3},
		"by part":       {feed.Query{Filter: "WEB", Latest: true}, []string{"Shop.Web 1.10.0"}, 1},
		"an unknown id": {feed.Query{ID: "Shop"}, nil, 0},
	} {
		list, total, err := r.List(t.Context(), everything(), space, c.q)
		check(t, err)
		var got []string
		for i := range list {
			got = append(got, list[i].PackageID+" "+list[i].Version)
		}
		if !slices.Equal(got, c.want) || total != c.total {
			t.Errorf("%s: %v of %d, want %v of %d", name, got, total, c.want, c.total)
		}
	}
	_, _, err := r.List(t.Context(), may(authz.PackagePush), space, feed.Query{})
	refusedFor(t, err, resource.Forbidden)
}

// TestOpenLostBytes: a package whose bytes are gone says so (P1: no silence).
func TestOpenLostBytes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	pkg, _, err := r.push("Shop.1.0.0.zip", archive(t, "a.txt"), feed.FailIfExists)
	check(t, err)
	check(t, os.Remove(filepath.Join(r.blobs, pkg.Sha256[:2], pkg.Sha256)))
	_, _, err = r.Open(t.Context(), everything(), space, pkg.ID)
	refusedFor(t, err, resource.Unavailable, pkg.ID)
}
