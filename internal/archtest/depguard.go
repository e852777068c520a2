package archtest

import (
	"fmt"
	"strings"
)

// The lines of .golangci.yaml between which Depguard's text stands.
const (
	depguardBegin = "      # begin: written by `make generate` from internal/archtest/table.go\n"
	depguardEnd   = "      # end of the written part\n"
)

// Depguard writes the table as depguard rules: one per row, for product files
// only, denying all of ours except what the row allows. Test files and test
// packages are bound by no row. That product files import no test package of
// their own row is the test's to find.
func Depguard(table []Row) string {
	var b strings.Builder
	for _, row := range table {
		fmt.Fprintf(&b, "        %s:\n", strings.Trim(strings.ReplaceAll(row.Name, "/", "-"), "-"))
		b.WriteString("          list-mode: lax\n          files:\n            - \"!$test\"\n")
		fmt.Fprintf(&b, "            - \"**/%s/**\"\n", row.path())
		for _, other := range table {
			if strings.HasPrefix(other.path(), row.path()+"/") {
				fmt.Fprintf(&b, "            - \"!**/%s/**\"\n", other.path())
			}
		}
		for _, test := range []string{"test", "sim", "fakeaws"} {
			fmt.Fprintf(&b, "            - \"!**/%s/**%s/**\"\n", row.path(), test)
		}
		b.WriteString("          allow:\n")
		for _, other := range table {
			if row.allows(other) {
				fmt.Fprintf(&b, "            - %s/%s$\n            - %s/%s/\n", Module, other.path(), Module, other.path())
			}
		}
		fmt.Fprintf(&b, "          deny:\n            - pkg: %s\n", Module)
		fmt.Fprintf(&b, "              desc: %s\n", describe(row))
	}
	return b.String()
}

func describe(row Row) string {
	if len(row.MayImport) == 0 {
		return "imports only resource of our own packages (docs/architecture.md)"
	}
	return "may import " + strings.Join(row.MayImport, ", ") + " (docs/architecture.md)"
}

// Splice puts rules between the two marks of a .golangci.yaml.
func Splice(config, rules string) (string, error) {
	head, rest, ok := strings.Cut(config, depguardBegin)
	if !ok {
		return "", fmt.Errorf("splice depguard rules: no line %q", strings.TrimSpace(depguardBegin))
	}
	_, tail, ok := strings.Cut(rest, depguardEnd)
	if !ok {
		return "", fmt.Errorf("splice depguard rules: no line %q", strings.TrimSpace(depguardEnd))
	}
	return head + depguardBegin + rules + depguardEnd + tail, nil
}
