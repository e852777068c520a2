package packages_test

import (
	"cmp"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/slipwayhq/slipway/internal/packages"
)

type compareCase struct {
	A, B   string
	Result any
}

func TestVersionVectors(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/versions.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		OctopusCompare, DockerCompare, LexicographicCompare []compareCase
		OctopusParse                                        []struct {
			Test   string
			Values []any
		}
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	checkCompare(t, packages.Octopus, vectors.OctopusCompare)
	checkCompare(t, packages.Octopus, vectors.DockerCompare)
	checkCompare(t, packages.Lexicographic, vectors.LexicographicCompare)
	for _, c := range vectors.OctopusParse {
		for _, value := range c.Values {
			text, isText := value.(string)
			if !isText {
				continue
			}
			_, err := packages.ParseVersion(packages.Octopus, text)
			if wantErr := c.Test == "LargeVersionNumbersWillFail"; (err != nil) != wantErr {
				t.Errorf("%s: ParseOctopus(%q) error = %v", c.Test, text, err)
			}
		}
	}
}

func checkCompare(t *testing.T, format packages.Format, cases []compareCase) {
	t.Helper()
	if len(cases) == 0 {
		t.Fatal("no vectors")
	}
	for _, c := range cases {
		a, errA := packages.ParseVersion(format, c.A)
		b, errB := packages.ParseVersion(format, c.B)
		if errA != nil || errB != nil {
			t.Errorf("parse %q, %q: %v, %v", c.A, c.B, errA, errB)
			continue
		}
		got := a.Compare(b)
		switch want := c.Result.(type) {
		case float64:
			if got != int(want) {
				t.Errorf("%q vs %q = %d, want %v", c.A, c.B, got, want)
			}
		case bool:
			if (got == 0) != want {
				t.Errorf("%q equals %q = %v, want %v", c.A, c.B, got == 0, want)
			}
		}
	}
}

func TestSemverOrder(t *testing.T) {
	t.Parallel()
	// Each is older than the next; the groups are of equal precedence (abuse 50).
	ascending := []string{
		"0.0.1", "1.0.0-1", "1.0.0-2", "1.0.0-11", "1.0.0-alpha", "1.0.0-ALPHA.1", "1.0-beta",
		"1.0.0-beta.1", "1.0.0-beta.a", "1", "1.0.0+a", "1.0.0+B", "1.0.0.1", "1.2", "1.10", "v2",
	}
	for i := range ascending {
		for j := range ascending {
			a, b := semver(t, ascending[i]), semver(t, ascending[j])
			if got, want := a.Compare(b), cmp.Compare(i, j); got != want {
				t.Errorf("%q vs %q = %d, want %d", a, b, got, want)
			}
		}
	}
	for _, equal := range [][2]string{{"1.0.0", "1.0"}, {"1.0.0", "01.0.0"}, {"1.0.0+x", "1.0.0"}, {"1.0-RC", "1.0-rc"}} {
		if semver(t, equal[0]).Precedence(semver(t, equal[1])) != 0 {
			t.Errorf("%q and %q differ in precedence", equal[0], equal[1])
		}
	}
}

func TestSemverRefusals(t *testing.T) {
	t.Parallel()
	bad := []string{
		"", "a", "1.", ".1", "1.2.3.4.5", "1.0-", "1.0+", "1.0-a..b", "1.0-ä", "1.0 .0", "V1", "1.0-a_b",
		"100000000000000000000", "2147483648", strings.Repeat("1", 300), "1.0\n",
	}
	for _, text := range bad {
		if strings.TrimSpace(text) != text {
			continue
		}
		if v, err := packages.ParseSemver(text); err == nil {
			t.Errorf("ParseSemver(%q) = %v", text, v)
		}
	}
}

func semver(t *testing.T, text string) packages.Version {
	t.Helper()
	v, err := packages.ParseSemver(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// abuse 50: total, antisymmetric, transitive.
func TestVersionOrderIsTotal(t *testing.T) {
	t.Parallel()
	for _, format := range []packages.Format{packages.Semver, packages.Octopus, packages.Lexicographic} {
		gen := rapid.StringMatching(`[vV]?[0-9]{1,3}(\.[0-9]{1,3}){0,3}(-[0-9A-Za-z-]{1,3}(\.[0-9a-zA-Z]{1,2}){0,2})?(\+[0-9a-zA-Z]{1,2})?`)
		rapid.Check(t, func(t *rapid.T) {
			var vs []packages.Version
			for len(vs) < 3 {
				if v, err := packages.ParseVersion(format, gen.Draw(t, "version")); err == nil {
					vs = append(vs, v)
				}
			}
			a, b, c := vs[0], vs[1], vs[2]
			if twin := a; a.Compare(twin) != 0 || a.Compare(b) != -b.Compare(a) {
				t.Fatalf("not antisymmetric: %q %q", a, b)
			}
			slices.SortFunc(vs, packages.Version.Compare)
			if vs[0].Compare(vs[1]) > 0 || vs[1].Compare(vs[2]) > 0 || vs[0].Compare(vs[2]) > 0 {
				t.Fatalf("not transitive: %q %q %q", a, b, c)
			}
		})
	}
}

func FuzzVersions(f *testing.F) {
	for _, seed := range []string{"1.0.0", "latest", "1 .2.3-hithere", "v1-a.b+c", "1_02_3", `\\`, "99999999999"} {
		f.Add(seed, "1.0.0-rc.1")
	}
	f.Fuzz(func(t *testing.T, x, y string) {
		for _, format := range []packages.Format{packages.Semver, packages.Octopus, packages.Lexicographic} {
			a, errA := packages.ParseVersion(format, x)
			b, errB := packages.ParseVersion(format, y)
			if errA == nil && errB == nil && a.Compare(b) != -b.Compare(a) {
				t.Fatalf("not antisymmetric: %q %q", x, y)
			}
		}
	})
}
