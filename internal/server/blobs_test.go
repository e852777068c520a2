package server_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/slipwayhq/slipway/internal/resource"
)

// With storage for blobs a node keeps none of its own: another one that is
// given the same storage serves them.
func TestBlobsOnStorage(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	backend := s3mem.New()
	storage := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(storage.Close)
	cfg := later(t)
	cfg.Blobs = "s3://packages/slipway?endpoint=" + storage.URL
	refused(t, cfg, resource.PreconditionFailed, "no bucket 'packages'")
	check(t, backend.CreateBucket("packages"))

	r := run(t, cfg)
	var pkg, form bytes.Buffer
	w := zip.NewWriter(&pkg)
	_, err := w.Create("readme.txt")
	check(t, err)
	check(t, w.Close())
	parts := multipart.NewWriter(&form)
	file, err := parts.CreateFormFile("file", "Shop.1.0.0.zip")
	check(t, err)
	_, err = file.Write(pkg.Bytes())
	check(t, errors.Join(err, parts.Close()))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url("/api/packages/raw"), &form)
	check(t, err)
	req.Header.Set("X-Octopus-Apikey", adminKey)
	req.Header.Set("Content-Type", parts.FormDataContentType())
	if status, answer := r.do(req); status != http.StatusCreated {
		t.Fatal(status, answer)
	}
	r.stop()
	for _, folder := range []string{"blobs", "uploads"} {
		err := filepath.WalkDir(filepath.Join(cfg.Data, folder), func(path string, e fs.DirEntry, _ error) error {
			if e != nil && !e.IsDir() {
				t.Errorf("%s was kept", path)
			}
			return nil
		})
		check(t, err)
	}
	check(t, os.RemoveAll(filepath.Join(cfg.Data, "uploads")))
	again := run(t, cfg)
	if status, got := again.send(http.MethodGet, "/api/packages/"+resource.PackageID(resource.DefaultSpace, "Shop", "1.0.0")+"/raw", nil); status != http.StatusOK || got != pkg.String() {
		t.Error(status, len(got))
	}
}
