// Command size prints how long the Go files and functions below a folder are:
// number, median, 90th percentile and the ten longest, product and test files
// apart. It reports; nothing fails by it.
package main

import (
	"bufio"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

type item struct {
	name  string
	lines int
}

type tally struct{ files, funcs []item }

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	product, test, err := measure(root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "size:", err)
		os.Exit(1)
	}
	out := bufio.NewWriter(os.Stdout)
	report(out, "product files", product.files)
	report(out, "product functions", product.funcs)
	report(out, "test files", test.files)
	report(out, "test functions", test.funcs)
	fmt.Fprintf(out, "test lines / product lines: %.2f\n", float64(sum(test.files))/float64(max(1, sum(product.files))))
	if err := out.Flush(); err != nil {
		os.Exit(1)
	}
}

// measure reads every Go file that no machine wrote.
func measure(root string) (product, test tally, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		side := &product
		if strings.HasSuffix(path, "_test.go") {
			side = &test
		}
		return side.add(root, path)
	})
	return product, test, err
}

func (t *tally) add(root, path string) error {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	if ast.IsGenerated(f) {
		return nil
	}
	name, err := filepath.Rel(root, path)
	if err != nil {
		return err
	}
	t.files = append(t.files, item{name, fset.Position(f.FileEnd).Line})
	for _, decl := range f.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Body != nil {
			lines := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1
			t.funcs = append(t.funcs, item{name + " " + fn.Name.Name, lines})
		}
	}
	return nil
}

func report(w io.Writer, what string, items []item) {
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(b.lines, a.lines) })
	if len(items) == 0 {
		return
	}
	over := func(limit int) int {
		if i := slices.IndexFunc(items, func(it item) bool { return it.lines <= limit }); i >= 0 {
			return i
		}
		return len(items)
	}
	at := func(share float64) int { return items[int(float64(len(items)-1)*(1-share))].lines }
	fmt.Fprintf(w, "%s: %d, median %d, p90 %d, over 80 lines: %d, over 400: %d\n",
		what, len(items), at(0.5), at(0.9), over(80), over(400))
	for _, it := range items[:min(10, len(items))] {
		fmt.Fprintf(w, "  %5d %s\n", it.lines, it.name)
	}
}

func sum(items []item) int {
	total := 0
	for _, it := range items {
		total += it.lines
	}
	return total
}
