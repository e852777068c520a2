package fail_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/fail"
)

// What the chaos harness demands of a run is that each point of the list was
// hit: each is on the list once, and stands in the product once.
func TestEachPointStandsOnceInTheProduct(t *testing.T) {
	t.Parallel()
	listed := map[fail.Name]int{}
	for _, p := range fail.Places() {
		listed[p.Name]++
	}
	names := constants(t)
	calls := map[string]int{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && selects(call.Fun, "Point") && len(call.Args) == 1 {
				if arg, ok := call.Args[0].(*ast.SelectorExpr); ok {
					calls[arg.Sel.Name]++
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for constant, value := range names {
		if listed[value] != 1 || calls[constant] != 1 {
			t.Errorf("%s (%s) is on the list %d times and in the product %d times, want 1 and 1", constant, value, listed[value], calls[constant])
		}
	}
	if len(names) != len(listed) || len(names) != len(calls) {
		t.Errorf("%d constants, %d points on the list, %d in the product", len(names), len(listed), len(calls))
	}
}

func selects(e ast.Expr, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := s.X.(*ast.Ident)
	return ok && pkg.Name == "fail" && s.Sel.Name == name
}

// constants are those of type Name in points.go.
func constants(t *testing.T) map[string]fail.Name {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "points.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]fail.Name{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Name" {
			value, ok := spec.Values[0].(*ast.BasicLit)
			if !ok {
				t.Fatalf("%s is no plain text", spec.Names[0].Name)
			}
			names[spec.Names[0].Name] = fail.Name(strings.Trim(value.Value, `"`))
		}
		return false
	})
	return names
}
