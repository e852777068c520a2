// Package archtest holds the import rules of the product as one table, reads
// the import graph from the source files, and says which edges, names and
// packages break the rules. The same table writes depguard's rules in
// .golangci.yaml, so the linter and the test never disagree.
//
// A package that is missing from the table is an error: whoever adds one says
// here what it may know.
package archtest

import (
	"path"
	"slices"
	"strings"
)

// Module is the path of the product's module.
const Module = "github.com/slipwayhq/slipway"

// Row says which of our own packages one package and its subpackages may
// import. Package resource is open to all and not listed.
type Row struct {
	Name      string   // below internal/, or a path from the root with a slash in front
	MayImport []string // names of other rows; "*" is everything
}

// Table is the rule of design section 3. Subpackages count as the row that
// names their longest prefix (app/<area> as app, agent/journal as agent).
func Table() []Row {
	server := []string{
		"secret", "template", "variables", "steps", "rollout", "authz", "store", "blob", "packages",
		"configure", "app", "engine", "gateway", "agentrpc", "fleet", "cloud", "api", "ui", "fail",
	}
	return []Row{
		{Name: "resource"},
		{Name: "fail"},
		{Name: "secret"},
		{Name: "template"},
		{Name: "variables", MayImport: []string{"template"}},
		{Name: "steps", MayImport: []string{"variables", "template"}},
		{Name: "rollout", MayImport: []string{"template", "variables", "steps"}},
		{Name: "authz"},
		{Name: "store", MayImport: []string{"secret", "rollout", "fail"}},
		{Name: "blob", MayImport: []string{"fail"}},
		{Name: "packages", MayImport: []string{"blob"}},
		{Name: "configure", MayImport: []string{"template"}},
		{Name: "app", MayImport: []string{"store", "authz", "rollout", "variables", "steps", "packages", "blob"}},
		{Name: "engine", MayImport: []string{"store", "rollout", "steps", "variables", "secret", "fail"}},
		{Name: "gateway", MayImport: []string{"agentrpc", "store", "rollout", "packages", "blob", "secret", "fail"}},
		{Name: "agentrpc"},
		{Name: "agent", MayImport: []string{"proc", "agentrpc", "configure", "packages", "template", "fail"}},
		{Name: "proc"},
		{Name: "fleet", MayImport: []string{"app", "store", "rollout"}},
		{Name: "cloud", MayImport: []string{"fleet", "app", "store", "rollout"}},
		{Name: "api", MayImport: []string{"app", "authz"}},
		{Name: "ui"},
		{Name: "server", MayImport: server},
		{Name: "client"},
		{Name: "cli", MayImport: []string{
			"client", "server", "agent", "configure", "template", "packages", "variables",
		}},
		{Name: "/cmd/slipway", MayImport: []string{"cli"}},
		{Name: "/bench", MayImport: []string{"agentrpc"}}, // the simulated fleet speaks the agents' protocol
		{Name: "/chaos", MayImport: []string{"client", "fail"}},
		{Name: "/mutants"},
		{Name: "/e2e"},
	}
}

// banned names say nothing about a package's one job.
var banned = []string{"util", "utils", "common", "helper", "helpers", "model", "models", "types", "manager", "misc"}

// testOnly says whether a package (a path within the module) exists for tests
// alone. It may import anything and only test files may import it.
func testOnly(pkg string) bool {
	base := path.Base(pkg)
	return strings.HasSuffix(base, "test") || base == "sim" || base == "fakeaws" || base == "e2e"
}

// path is the row's package within the module.
func (r Row) path() string {
	if rest, ok := strings.CutPrefix(r.Name, "/"); ok {
		return rest
	}
	return "internal/" + r.Name
}

// covers says whether the row speaks for a package (a path within the module).
func (r Row) covers(pkg string) bool {
	return pkg == r.path() || strings.HasPrefix(pkg, r.path()+"/")
}

// rowOf finds the row that speaks for a package; ok is false when none does.
func rowOf(table []Row, pkg string) (row Row, ok bool) {
	for _, r := range table {
		if r.covers(pkg) && len(r.path()) > len(row.path()) || r.covers(pkg) && !ok {
			row, ok = r, true
		}
	}
	return row, ok
}

// allows says whether the row's packages may import those of the other row.
func (r Row) allows(other Row) bool {
	return r.Name == other.Name || other.Name == "resource" || slices.Contains(r.MayImport, other.Name)
}
