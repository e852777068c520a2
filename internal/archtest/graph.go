package archtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Graph is the import graph of our own packages. Names are paths within the
// module ("internal/store").
type Graph struct {
	// Product maps a package to the packages its product files import, for
	// every operating system and build tag.
	Product map[string][]string
	// Test maps a package to what its _test.go files import.
	Test map[string][]string
}

type listed struct {
	ImportPath     string   `json:"ImportPath"`
	Dir            string   `json:"Dir"`
	GoFiles        []string `json:"GoFiles"`
	CgoFiles       []string `json:"CgoFiles"`
	IgnoredGoFiles []string `json:"IgnoredGoFiles"`
	TestGoFiles    []string `json:"TestGoFiles"`
	XTestGoFiles   []string `json:"XTestGoFiles"`
}

// Load reads the graph of the module at root. It asks the go command for the
// packages and their files and reads the imports itself, so that files for
// other systems and build tags count too.
func Load(ctx context.Context, root string) (Graph, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-e", "-json=ImportPath,Dir,GoFiles,CgoFiles,"+
		"IgnoredGoFiles,TestGoFiles,XTestGoFiles", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return Graph{}, fmt.Errorf("list packages of %s: %w: %s", root, err, stderr.String())
	}
	g := Graph{Product: map[string][]string{}, Test: map[string][]string{}}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return g, nil
		} else if err != nil {
			return Graph{}, fmt.Errorf("decode go list: %w", err)
		}
		if err := g.add(p); err != nil {
			return Graph{}, err
		}
	}
}

func (g Graph) add(p listed) error {
	name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, Module), "/")
	if _, seen := g.Product[name]; !seen {
		g.Product[name] = nil
	}
	for _, file := range slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles) {
		imports, err := ownImports(filepath.Join(p.Dir, file))
		if err != nil {
			return err
		}
		side := g.Product
		if strings.HasSuffix(file, "_test.go") {
			side = g.Test
		}
		for _, imp := range imports {
			if imp != name && !slices.Contains(side[name], imp) {
				side[name] = append(side[name], imp)
			}
		}
		slices.Sort(side[name])
	}
	return nil
}

// ownImports lists the module's own packages that a file imports.
func ownImports(file string) ([]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		return nil, fmt.Errorf("read imports of %s: %w", file, err)
	}
	var own []string
	for _, spec := range f.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("read imports of %s: %w", file, err)
		}
		if rest, ok := strings.CutPrefix(imp, Module+"/"); ok {
			own = append(own, rest)
		}
	}
	return own, nil
}

// Violations lists every break of the rules, sorted, one sentence each.
func Violations(table []Row, g Graph) []string {
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for pkg, imports := range g.Product {
		if slices.Contains(banned, path.Base(pkg)) {
			say("%s: the name %q says nothing about the package's one job", pkg, path.Base(pkg))
		}
		if testOnly(pkg) {
			continue
		}
		row, ok := rowOf(table, pkg)
		if !ok {
			say("%s: not in the table of internal/archtest; say there what it may import", pkg)
			continue
		}
		for _, imp := range imports {
			if testOnly(imp) {
				say("%s imports %s, which exists for tests alone", pkg, imp)
			} else if other, ok := rowOf(table, imp); ok && !row.allows(other) {
				say("%s imports %s, but %s may import only %v", pkg, imp, row.Name, row.MayImport)
			}
		}
	}
	slices.Sort(found)
	return found
}

// String prints the graph, one package a line.
func (g Graph) String() string {
	var b strings.Builder
	for _, pkg := range slices.Sorted(maps.Keys(g.Product)) {
		fmt.Fprintf(&b, "%s", pkg)
		for _, imp := range g.Product[pkg] {
			fmt.Fprintf(&b, " %s", strings.TrimPrefix(imp, "internal/"))
		}
		b.WriteString("\n")
	}
	return b.String()
}
