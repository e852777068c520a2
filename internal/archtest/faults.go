package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Case is one row of the catalogue of faults and abuses: a fault by its number,
// an abuse with its word before it.
type Case struct {
	Name string // "30", "abuse 15"
	What string
}

// Shown is what shows the outcome of a case: tests as "package TestName", and
// kinds of the simulation as "simulation: kind".
type Shown map[string][]string

var (
	named = regexp.MustCompile(`(?i)\b(fault|abuse|invariant|I)s? ?(\d+(?:(?:,| and| to) \d+)*)`)
	step  = regexp.MustCompile(`(,| and| to)? ?(\d+)`)
	kind  = regexp.MustCompile(`"([a-z][^"]*)"`)
)

// Cases reads the cases that a comment names: "fault 4, 5, 10", "faults 9 to
// 14", "abuse 59, 76".
func Cases(comment string) []string {
	var found []string
	for _, m := range named.FindAllStringSubmatch(comment, -1) {
		word := strings.ToLower(m[1])
		if word != "fault" && word != "abuse" {
			continue
		}
		last := 0
		for _, s := range step.FindAllStringSubmatch(m[2], -1) {
			n, err := strconv.Atoi(s[2])
			if err != nil {
				continue
			}
			first := n
			if s[1] == " to" {
				first = last + 1
			}
			for ; first <= n; first++ {
				found = append(found, strings.TrimPrefix(word+" "+strconv.Itoa(first), "fault "))
			}
			last = n
		}
	}
	return found
}

// FindShown reads the comments of all test files below root: at a test, or
// within it. Those beside a kind of the simulation count as well.
func FindShown(root string) (Shown, error) {
	all := map[string]map[string]bool{}
	add := func(comment, by string) {
		for _, c := range Cases(comment) {
			if all[c] == nil {
				all[c] = map[string]bool{}
			}
			all[c][by] = true
		}
	}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != root && (strings.HasPrefix(entry.Name(), ".") || strings.HasPrefix(entry.Name(), "_") || entry.Name() == "testdata" || entry.Name() == "node_modules") {
			return fs.SkipDir
		}
		rel, err := filepath.Rel(root, name)
		if err != nil || !strings.HasSuffix(name, ".go") {
			return err
		}
		folder := path.Dir(filepath.ToSlash(rel))
		switch {
		case strings.HasSuffix(name, "_test.go"):
			return readTests(name, strings.TrimPrefix(folder, "internal/"), add)
		case folder == "internal/sim":
			return readKinds(name, add)
		}
		return nil
	})
	shown := Shown{}
	for c, by := range all {
		shown[c] = slices.Sorted(maps.Keys(by))
	}
	return shown, err
}

func readTests(name, folder string, add func(comment, by string)) error {
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") || f.Name.Name == "TestMain" {
			continue
		}
		for _, c := range file.Comments {
			if c == f.Doc || f.Pos() <= c.Pos() && c.Pos() < f.End() {
				add(strings.ReplaceAll(c.Text(), "\n", " "), folder+" "+f.Name.Name)
			}
		}
	}
	return nil
}

// readKinds reads the kinds of the simulation's faults: a line with the kind's
// name and a comment that names the case.
func readKinds(name string, add func(comment, by string)) error {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	kinds := map[int]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING {
			if m := kind.FindStringSubmatch(s.Value); m != nil {
				kinds[set.Position(s.Pos()).Line] = m[1]
			}
		}
		return true
	})
	for _, group := range file.Comments {
		for _, c := range group.List {
			if k := kinds[set.Position(c.Pos()).Line]; k != "" {
				add(c.Text, "simulation: "+k)
			}
		}
	}
	return nil
}

// Marks around the table in docs/reliability.md.
const (
	faultsBegin = "<!-- begin: written by `make generate` from the comments of the tests -->\n"
	faultsEnd   = "<!-- end of the written part -->\n"
)

// FaultTable writes the table of cases and what shows them.
func FaultTable(cases []Case, shown Shown) string {
	var b strings.Builder
	b.WriteString("| fault | what | shown by |\n|---|---|---|\n")
	for _, c := range cases {
		var by []string
		last := ""
		for _, s := range shown[c.Name] {
			folder, test, isTest := strings.Cut(s, " Test")
			switch {
			case !isTest:
				by = append(by, s)
			case folder == last:
				by = append(by, "`Test"+test+"`")
			default:
				by = append(by, "`"+folder+"` `Test"+test+"`")
				last = folder
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.Name, c.What, strings.Join(by, ", "))
	}
	return b.String()
}

// SpliceFaults puts the table between its two marks in the page.
func SpliceFaults(page, table string) (string, error) {
	head, rest, ok := strings.Cut(page, faultsBegin)
	_, tail, closed := strings.Cut(rest, faultsEnd)
	if !ok || !closed {
		return "", fmt.Errorf("splice the table of faults: its marks are missing")
	}
	return head + faultsBegin + table + faultsEnd + tail, nil
}
