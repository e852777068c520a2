package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
)

// guard is one marker and where it stands.
type guard struct {
	name     string
	protects []string // "I4", "abuse 43", "fault 22"
	why      string
	less     string // what is left out of the statement; "" is the whole of it
	with     string // what stands there instead
	pkg      string // of the test that sees it, "./internal/agent"
	test     string // its name; "" leaves it to the simulation
	file     string // from the root of the module
	line     int    // of the marker
}

// String says where the guard stands.
func (g *guard) String() string { return fmt.Sprintf("%s (%s:%d)", g.name, g.file, g.line) }

// form is the marker's one form. In Go it is a comment on the line before the
// guard, in SQL the same after two dashes:
//
//	//guard:NAME I4, fault 30: what it protects; less `TEXT`, with `TEXT`; seen by ./pkg TestName
var form = regexp.MustCompile("^guard:([a-z][a-z0-9-]*) ((?:I[0-9]+|abuse [0-9]+|fault [0-9]+)(?:, (?:I[0-9]+|abuse [0-9]+|fault [0-9]+))*): " +
	"([^;`]+)(?:; less `([^`]+)`(?:, with `([^`]+)`)?)?(?:; seen by (\\./[a-z0-9/]+) (Test[A-Za-z0-9_]+))?$")

// parseMarker reads a marker without its comment sign.
func parseMarker(text string) (*guard, error) {
	m := form.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return nil, fmt.Errorf("%q is no guard: it has to read guard:NAME I1: what it protects; less `TEXT`, with `TEXT`; seen by ./PACKAGE TestName", text)
	}
	return &guard{name: m[1], protects: strings.Split(m[2], ", "), why: m[3], less: m[4], with: m[5], pkg: m[6], test: m[7]}, nil
}

// find reads the guards of the product's files below the root, in the order of
// the files. Tests and what exists for tests alone are not the product.
func find(root string) (all []*guard, err error) {
	tree := os.DirFS(root)
	for _, top := range []string{"internal", "cmd"} {
		err := fs.WalkDir(tree, top, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "sim" || d.Name() == "testdata" || strings.HasSuffix(d.Name(), "test")):
				return fs.SkipDir
			case d.IsDir(), strings.HasSuffix(name, "_test.go"), !strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, ".sql"):
				return nil
			}
			content, err := fs.ReadFile(tree, name)
			if err != nil {
				return err
			}
			guards, err := inFile(name, string(content))
			all = append(all, guards...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	seen := map[string]*guard{}
	for _, g := range all {
		if other := seen[g.name]; other != nil {
			return nil, fmt.Errorf("%s and %s have the same name", other, g)
		}
		seen[g.name] = g
	}
	return all, nil
}

// inFile reads the guards of one file.
func inFile(name, content string) (list []*guard, err error) {
	sign := "//"
	if strings.HasSuffix(name, ".sql") {
		sign = "-- "
	}
	n := 0
	for line := range strings.Lines(content) {
		n++
		text, is := strings.CutPrefix(strings.TrimSpace(line), sign+"guard:")
		if !is {
			continue
		}
		g, err := parseMarker("guard:" + text)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		g.file, g.line = name, n
		list = append(list, g)
	}
	return list, nil
}

// remove gives the file's content without the guard.
func (g *guard) remove(content string) (string, error) {
	var from, to int
	var node ast.Node
	var err error
	if strings.HasSuffix(g.file, ".sql") {
		from, to, err = lineAfter(content, g.line)
	} else {
		from, to, node, err = nodeAfter(content, g.line)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", g, err)
	}
	whole, put := content[from:to], ""
	if g.less == "" {
		put, err = without(node, content, from)
	} else if count := strings.Count(whole, g.less); count == 1 {
		put = strings.Replace(whole, g.less, g.with, 1)
	} else {
		err = fmt.Errorf("its statement has %q %d times, not once", g.less, count)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", g, err)
	}
	changed := content[:from] + put + content[to:]
	if !strings.HasSuffix(g.file, ".sql") {
		if _, err := parser.ParseFile(token.NewFileSet(), g.file, changed, 0); err != nil {
			return "", fmt.Errorf("%s: without it the file does not parse: %w", g, err)
		}
	}
	return changed, nil
}

// without is the statement as if it did not guard: a condition that is never
// true, or nothing at all.
func without(node ast.Node, content string, from int) (string, error) {
	at := func(p token.Pos) int { return int(p) - 1 }
	never := func(conditions ...ast.Expr) string {
		last, out := from, ""
		for _, c := range conditions {
			out += content[last:at(c.Pos())] + "false && (" + content[at(c.Pos()):at(c.End())] + ")"
			last = at(c.End())
		}
		return out + content[last:at(node.End())]
	}
	switch n := node.(type) {
	case *ast.IfStmt:
		return never(n.Cond), nil
	case *condition:
		return never(n.List...), nil
	case *ast.ExprStmt, *ast.AssignStmt, *ast.DeferStmt, *ast.CaseClause:
		return "", nil
	default:
		return "", fmt.Errorf("a %T cannot be left out: say with less `…` what of it goes", node)
	}
}

// condition is a case of a switch that has conditions and no value.
type condition struct{ *ast.CaseClause }

// below is the line that the marker stands above: several may stand together.
func below(content string, line int) int {
	lines := slices.Collect(strings.Lines(content))
	for line < len(lines) && strings.Contains(lines[line], "guard:") {
		line++
	}
	return line + 1
}

// nodeAfter is the outermost piece of Go that begins on the first line after the
// marker, and from which to which byte it goes.
func nodeAfter(content string, line int) (from, to int, node ast.Node, err error) {
	files, target := token.NewFileSet(), below(content, line)
	file, err := parser.ParseFile(files, "", content, parser.ParseComments)
	if err != nil {
		return 0, 0, nil, err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil || node != nil {
			return false
		}
		switch n := n.(type) {
		case *ast.Comment, *ast.CommentGroup:
			return false
		case *ast.SwitchStmt:
			for _, c := range n.Body.List {
				if clause, ok := c.(*ast.CaseClause); ok && n.Tag == nil && len(clause.List) > 0 && files.Position(c.Pos()).Line == target {
					node = &condition{clause}
				}
			}
		}
		if node == nil && files.Position(n.Pos()).Line == target {
			node = n
		}
		return node == nil
	})
	if node == nil {
		return 0, 0, nil, errors.New("nothing begins on the line after it")
	}
	return int(node.Pos()) - 1, int(node.End()) - 1, node, nil
}

// lineAfter is the line of SQL after the marker.
func lineAfter(content string, line int) (from, to int, err error) {
	lines := slices.Collect(strings.Lines(content))
	if line >= len(lines) {
		return 0, 0, errors.New("nothing follows it")
	}
	from = len(strings.Join(lines[:line], ""))
	return from, from + len(lines[line]), nil
}
