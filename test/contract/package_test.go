package contract_test

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/feeds"
	"github.com/OctopusDeploy/go-octopusdeploy/v2/pkg/packages"
)

// TestPackages is the built-in feed (octopus-api.md 2.11).
func TestPackages(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.connect(t, "")
	content := archive(t, map[string]string{"shop.conf": "x"})
	pkg := push(t, c, "Shop.Web.1.0.0.zip", content)
	for what, pair := range map[string][2]any{
		"id": {pkg.ID, "packages-Shop.Web.1.0.0"}, "package": {pkg.PackageId, "Shop.Web"}, "nuget id": {pkg.NuGetPackageId, "Shop.Web"},
		"version": {pkg.Version, "1.0.0"}, "feed": {pkg.FeedId, "feeds-builtin"}, "nuget feed": {pkg.NuGetFeedId, "feeds-builtin"},
		"extension": {pkg.FileExtension, ".zip"}, "size": {pkg.PackageSizeBytes, len(content)},
	} {
		same(t, what, pair[0], pair[1])
	}
	if len(pkg.Hash) != 40 || pkg.Published == nil {
		t.Errorf("hash %q, published %v", pkg.Hash, pkg.Published)
	}
	upload := func(mode packages.OverwriteMode, file string, content []byte) (bool, error) {
		_, made, err := packages.Upload(c, "Spaces-1", file, strings.NewReader(string(content)), mode)
		return made, err
	}
	other := archive(t, map[string]string{"shop.conf": "y"})
	_, err := upload(packages.OverwriteModeFailIfExists, "Shop.Web.1.0.0.zip", other)
	refused(t, err, http.StatusConflict)
	made, err := upload(packages.OverwriteModeIgnoreIfExists, "Shop.Web.1.0.0.zip", other)
	if ok(t, err); made {
		t.Error("a package that exists was made again")
	}
	if kept := s.ask(t, http.MethodGet, "/api/Spaces-1/packages/"+pkg.ID+"/raw", ""); kept.body != string(content) {
		t.Error("an ignored upload replaced the bytes")
	}
	made, err = upload(packages.OverwriteModeOverwriteExisting, "Shop.Web.1.0.0.zip", other)
	if ok(t, err); !made {
		t.Error("an overwriting upload made nothing")
	}
	if now := s.ask(t, http.MethodGet, "/api/Spaces-1/packages/"+pkg.ID+"/raw", ""); now.body != string(other) {
		t.Error("an overwriting upload left the bytes")
	}
	_, err = upload(packages.OverwriteModeFailIfExists, "Shop.Web.zip", other)
	refused(t, err, http.StatusBadRequest)
	_, err = upload(packages.OverwriteModeFailIfExists, "Shop.Web.1.0.1.zip", []byte("no archive"))
	refused(t, err, http.StatusBadRequest)

	push(t, c, "Shop.Web.1.10.0.zip", content)
	push(t, c, "Shop.Web.1.9.0.zip", content)
	push(t, c, "Shop.Db.1.0.0.zip", content)
	all, err := packages.GetAll(c, "Spaces-1")
	ok(t, err)
	same(t, "packages", len(all), 4)
	found, err := packages.List(c, "Spaces-1", "web", 30)
	ok(t, err)
	same(t, "packages with web", found.TotalResults, 3)
	one, err := packages.GetByID(c, "Spaces-1", pkg.ID)
	ok(t, err)
	same(t, "package", one.PackageID+" "+one.Version, "Shop.Web 1.0.0")
	feed, err := feeds.GetByID(c, "Spaces-1", "feeds-builtin")
	ok(t, err)
	versions, err := c.Feeds.SearchFeedPackageVersions(feed, feeds.SearchPackageVersionsQuery{PackageID: "Shop.Web", Take: 10})
	ok(t, err)
	var order []string
	for _, v := range versions.Items {
		order = append(order, v.Version)
	}
	same(t, "versions, newest first", order, []string{"1.10.0", "1.9.0", "1.0.0"})
	search, err := c.Feeds.SearchPackages(feed, feeds.SearchPackagesQuery{Term: "shop", Take: 10})
	ok(t, err)
	same(t, "found ids", search.TotalResults, 2)
	stats, err := c.Feeds.GetBuiltInFeedStatistics()
	ok(t, err)
	same(t, "packages by count", int(stats.TotalPackages), 4)
	ok(t, packages.DeleteByID(c, "Spaces-1", pkg.ID))
	_, err = packages.GetByID(c, "Spaces-1", pkg.ID)
	refused(t, err, http.StatusNotFound)
}

// TestUploadBreaksOff: of an upload that ends at 99 % nothing is left, neither
// a package nor its bytes (abuse 52).
func TestUploadBreaksOff(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := s.connect(t, "")
	noise := make([]byte, 4<<20) // what does not compress gets to the disk
	_, _ = rand.Read(noise)
	content := archive(t, map[string]string{"a.bin": string(noise)})
	body, out := io.Pipe()
	form := multipart.NewWriter(out)
	ended := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/api/Spaces-1/packages/raw", body)
		if err == nil {
			req.Header.Set("X-Octopus-ApiKey", adminKey)
			req.Header.Set("Content-Type", form.FormDataContentType())
			var resp *http.Response
			if resp, err = http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
		}
		ended <- err
	}()
	part, err := form.CreateFormFile("file", "Shop.Web.1.0.0.zip")
	ok(t, err)
	_, err = part.Write(content[:len(content)*99/100])
	ok(t, err)
	eventually(t, "bytes to arrive", func() bool { return blobs(t, s) > 0 })
	out.CloseWithError(errors.New("the line is cut"))
	if err := <-ended; err == nil {
		t.Error("a broken upload was answered")
	}
	eventually(t, "the bytes to be gone", func() bool { return blobs(t, s) == 0 })
	list, err := packages.GetAll(c, "Spaces-1")
	ok(t, err)
	same(t, "packages", len(list), 0)
}

// blobs counts the files of packages on the server's disk, those being written
// included.
func blobs(t *testing.T, s *instance) (files int) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(s.data, "blobs"), func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // removed while we looked
			return nil
		}
		if err == nil && entry.Type().IsRegular() {
			files++
		}
		return err
	})
	ok(t, err)
	return files
}
