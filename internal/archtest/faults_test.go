package archtest_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/slipwayhq/slipway/internal/archtest"
)

// missing are the cases whose test is still to be written. It only gets shorter.
var missing = []string{"24"}

// Each case has a test, or a kind of the simulation, that names it; the page
// lists them.
func TestEveryFaultHasATest(t *testing.T) {
	t.Parallel()
	shown, err := archtest.FindShown(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range archtest.FaultCases() {
		switch {
		case len(shown[c.Name]) == 0 && !slices.Contains(missing, c.Name):
			t.Errorf("no test names fault %s: %s", c.Name, c.What)
		case len(shown[c.Name]) > 0 && slices.Contains(missing, c.Name):
			t.Logf("fault %s is missing no more: take it out of the list", c.Name)
		}
	}
	file := filepath.Join(root, "docs", "reliability.md")
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := archtest.SpliceFaults(string(page), archtest.FaultTable(archtest.FaultCases(), shown))
	if err != nil {
		t.Fatal(err)
	}
	if *update && want != string(page) {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCasesOfAComment(t *testing.T) {
	t.Parallel()
	for comment, want := range map[string][]string{
		"fault 4, 5, 10, 17, invariant I6: the agent": {"4", "5", "10", "17"},
		"Faults 9 to 12 and 46: all":                  {"9", "10", "11", "12", "46"},
		"(fault 42, abuse 51, 94)":                    {"42", "abuse 51", "abuse 94"},
		"abuse 3, fault 29.":                          {"abuse 3", "29"},
		"the default 3, invariants 4":                 nil,
		"I7, fault 8, 9, 13).":                        {"8", "9", "13"},
	} {
		if diff := cmp.Diff(want, archtest.Cases(comment)); diff != "" {
			t.Errorf("%s (-want +have):\n%s", comment, diff)
		}
	}
}
