package archtest_test

import (
	"flag"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipwayhq/slipway/internal/archtest"
)

var update = flag.Bool("update", false, "write the depguard rules of .golangci.yaml anew")

const root = "../.."

func TestImportGraph(t *testing.T) {
	t.Parallel()
	g, err := archtest.Load(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := g.Product["internal/archtest"]; !ok {
		t.Fatalf("the graph lacks this very package:\n%s", g)
	}
	t.Logf("our packages and what their product files import:\n%s", g)
	for _, v := range archtest.Violations(archtest.Table(), g) {
		t.Error(v)
	}
}

func TestDepguardRulesMatchTable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(root, ".golangci.yaml")
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := archtest.Splice(string(have), archtest.Depguard(archtest.Table()))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(have)); diff != "" {
		t.Errorf(".golangci.yaml differs from the table; run make generate (-want +have):\n%s", diff)
	}
}

// The page says the same as the table, row by row.
func TestArchitecturePageMatchesTable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := map[string]string{} // package: its last cell
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		name, _, _ := strings.Cut(strings.Trim(cells[1], " `"), "/")
		page[strings.Trim(name, "`")] = strings.TrimSpace(cells[3])
	}
	for _, row := range archtest.Table() {
		want := strings.Join(row.MayImport, ", ")
		switch {
		case strings.HasPrefix(row.Name, "/"):
			continue // programs, not parts
		case row.Name == "server":
			want = "everything server-side"
		}
		if got, ok := page[row.Name]; !ok || got != want {
			t.Errorf("docs/architecture.md says %q may import %q, the table says %q", row.Name, got, want)
		}
	}
}

func TestViolations(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		pkg     string
		imports []string
		want    string // part of the only violation; "" means none
	}{
		{"a listed edge", "internal/engine", []string{"internal/store", "internal/resource"}, ""},
		{"subpackages count as their row", "internal/app/projects", []string{"internal/store/dialect", "internal/app"}, ""},
		{"an edge not listed", "internal/engine", []string{"internal/gateway"}, "engine may import only"},
		{"an edge not listed, from a subpackage", "internal/api/route", []string{"internal/store"}, "api may import only"},
		{"agent is not a prefix of agentrpc", "internal/gateway", []string{"internal/agent"}, "gateway may import only"},
		{"the pure package stays pure", "internal/rollout", []string{"internal/store"}, "rollout may import only"},
		{"product imports a test package", "internal/store", []string{"internal/store/storetest"}, "for tests alone"},
		{"a test package imports anything", "internal/sim", []string{"internal/agent", "internal/engine"}, ""},
		{"an unknown package", "internal/novelty", nil, "not in the table"},
		{"a name without a meaning", "internal/store/util", nil, "says nothing"},
		{"bench knows the protocol alone", "bench", []string{"internal/store"}, "bench may import only"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := archtest.Graph{Product: map[string][]string{tt.pkg: tt.imports}}
			got := strings.Join(archtest.Violations(archtest.Table(), g), "\n")
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
				t.Errorf("violations = %q, want one with %q", got, tt.want)
			}
		})
	}
}

// A file for another system or behind a build tag counts like any other.
func TestLoadSeesEveryFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := map[string]string{
		"go.mod":                   "module " + archtest.Module + "\n\ngo 1.26.0\n",
		"internal/blob/blob.go":    "package blob\n",
		"internal/proc/proc.go":    "package proc\n",
		"internal/proc/p_plan9.go": "package proc\n\nimport _ \"" + archtest.Module + "/internal/blob\"\n",
		"internal/proc/tag.go":     "//go:build never\n\npackage proc\n\nimport _ \"" + archtest.Module + "/internal/store\"\n",
		"internal/proc/p_test.go":  "package proc\n\nimport _ \"" + archtest.Module + "/internal/sim\"\n",
		"internal/sim/sim.go":      "package sim\n",
		"internal/store/store.go":  "package store\n",
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	g, err := archtest.Load(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	want := archtest.Graph{
		Product: map[string][]string{
			"internal/blob": nil, "internal/sim": nil, "internal/store": nil,
			"internal/proc": {"internal/blob", "internal/store"},
		},
		Test: map[string][]string{"internal/proc": {"internal/sim"}},
	}
	if diff := cmp.Diff(want, g); diff != "" {
		t.Errorf("graph (-want +got):\n%s", diff)
	}
}

var (
	pageLink = regexp.MustCompile(`\]\(([^)#:]+)[^):]*\)`)
	pathName = regexp.MustCompile("`((?:internal|bench|docs|tools|cmd)/[A-Za-z0-9_./-]*[A-Za-z0-9_])`")
)

// What a page links to or names as a path is there.
func TestPagesNameWhatExists(t *testing.T) {
	t.Parallel()
	pages := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "e2e/README.md"}
	err := fs.WalkDir(os.DirFS(root), "docs", func(name string, _ fs.DirEntry, err error) error {
		if path.Ext(name) == ".md" {
			pages = append(pages, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Error(err)
			continue
		}
		var names []string
		for _, m := range pageLink.FindAllStringSubmatch(string(text), -1) {
			names = append(names, path.Join(path.Dir(page), m[1]))
		}
		for _, m := range pathName.FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
		for _, name := range names {
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(name))); err != nil {
				t.Errorf("%s names %s, which is not there", page, name)
			}
		}
	}
}

var testName = regexp.MustCompile("(?:`([a-z0-9/]+)` )?`(Test[A-Za-z0-9]+)`")

// Every test that the list of failures promises is there, and every story of
// e2e is in the list.
func TestFailuresHaveTheirTests(t *testing.T) {
	t.Parallel()
	const page = "e2e/README.md"
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	tests := func(folder string) (all string) {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(folder), "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s has no tests, %v", folder, err)
		}
		for _, file := range files {
			code, err := os.ReadFile(file)
			if err != nil {
				t.Error(err)
			}
			all += string(code)
		}
		return all
	}
	named := map[string]bool{"TestMain": true}
	for _, m := range testName.FindAllStringSubmatch(string(text), -1) {
		folder := m[1]
		if folder == "" {
			folder = "e2e"
		}
		if !strings.Contains(tests(folder), "func "+m[2]+"(") {
			t.Errorf("%s names %s of %s, which is not there", page, m[2], folder)
		}
		named[m[2]] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)`).FindAllStringSubmatch(tests("e2e"), -1) {
		if !named[m[1]] {
			t.Errorf("%s does not name %s", page, m[1])
		}
	}
}
