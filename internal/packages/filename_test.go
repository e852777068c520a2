package packages_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/packages"
	"github.com/slipwayhq/slipway/internal/resource"
)

func TestFileNameVectors(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/package-names.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		File, ID, Version, Extension string
		Error                        bool
	}
	if err := json.Unmarshal(raw, &vectors); err != nil || len(vectors) == 0 {
		t.Fatal(err, len(vectors))
	}
	for _, v := range vectors {
		got, err := packages.ParseFileName(v.File)
		want := packages.FileName{ID: v.ID, Version: v.Version, Extension: v.Extension, Format: packages.Semver}
		switch {
		case v.Error && err == nil:
			t.Errorf("%s: no error, got %+v", v.File, got)
		case !v.Error && (err != nil || got != want):
			t.Errorf("%s: got %+v, %v, want %+v", v.File, got, err, want)
		}
	}
}

func TestFileName(t *testing.T) {
	t.Parallel()
	cases := []struct{ file, id, version, ext string }{
		{"MyApp.1.2.3.zip", "MyApp", "1.2.3", ".zip"},
		{"MyApp.2.1.zip", "MyApp", "2.1", ".zip"},
		{"App.3.Core.1.0.0.zip", "App.3.Core", "1.0.0", ".zip"},
		{"a_b-c.d.1.0.0.4-rc.1+x.nupkg", "a_b-c.d", "1.0.0.4-rc.1+x", ".nupkg"},
		{"tool.1.0.0.7z", "tool", "1.0.0", ".7z"},
		{"x@O2024-01@abc.tar.gz", "x", "2024-01", ".tar.gz"},
	}
	for _, c := range cases {
		got, err := packages.ParseFileName(c.file)
		if err != nil || got.ID != c.id || got.Version != c.version || got.Extension != c.ext {
			t.Errorf("%s: got %+v, %v", c.file, got, err)
		}
	}
	for _, bad := range []string{"", "a", "a.zip", "a.1.0.0", "a@b", "a@X1@h.zip", "a@S1@h", "../a.1.0.zip", strings.Repeat("a", 600)} {
		if got, err := packages.ParseFileName(bad); resource.CodeOf(err) != resource.Invalid {
			t.Errorf("%q: got %+v, %v", bad, got, err)
		}
	}
}

// abuse 49: ids and versions that would be paths, options or tricks.
func TestIdentityRefusals(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"../../x", "a/b", "", strings.Repeat("a", 300), "-rf", "a\u202eb", ".hidden", "a b", "a\x00", "ä"} {
		if packages.ValidateID(id) == nil {
			t.Errorf("id %q accepted", id)
		}
	}
	for _, version := range []string{"", "../1", "1/0", "-1", "1.0\u202e", "1.0.0-" + strings.Repeat("a", 300), "latest"} {
		if packages.ValidateVersion(version) == nil {
			t.Errorf("version %q accepted", version)
		}
	}
	if err := packages.ValidateID("My.App-Core_2"); err != nil {
		t.Error(err)
	}
	if err := packages.ValidateVersion("1.2.3.4-beta.1+build.7"); err != nil {
		t.Error(err)
	}
}

func TestEscapeName(t *testing.T) {
	t.Parallel()
	if got := packages.EscapeName("a/b:c%d@e\x01"); got != "a%2Fb%3Ac%25d%40e" {
		t.Error(got)
	}
}

func FuzzFileName(f *testing.F) {
	for _, seed := range []string{"a.1.0.zip", "a@S1@h.zip", "%%@S%2@x.x", "a.1.tar.gz"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, err := packages.ParseFileName(name)
		if err == nil && (got.ID == "" || got.Extension == "" || got.Format == 0) {
			t.Fatalf("%q: %+v", name, got)
		}
	})
}
