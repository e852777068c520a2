package deploy_test

import (
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/resource"
)

// TestParsePackageSpec reads the grammar of octopus-api.md 1.9.
func TestParsePackageSpec(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]deploy.PackageSpec{
		"Shop.Web:1.2.3":         {PackageOrStep: "Shop.Web", Version: "1.2.3"},
		"Shop.Web=1.2.3":         {PackageOrStep: "Shop.Web", Version: "1.2.3"},
		"Shop.Web/1.2.3":         {PackageOrStep: "Shop.Web", Version: "1.2.3"},
		"Install web : 1.2.3":    {PackageOrStep: "Install web", Version: "1.2.3"},
		"tools:Install web:1.0":  {Reference: "tools", PackageOrStep: "Install web", Version: "1.0"},
		"tools:*:1.0":            {Reference: "tools", Version: "1.0"},
		"*:1.0":                  {Version: "1.0"},
		"*:*:1.0":                {Version: "1.0"},
		":1.0":                   {Version: "1.0"},
		"1.0":                    {Version: "1.0"},
		`a\:b:1.0`:               {PackageOrStep: "a:b", Version: "1.0"},
		`a\/b=1.0`:               {PackageOrStep: "a/b", Version: "1.0"},
		`a\\:1.0`:                {PackageOrStep: `a\`, Version: "1.0"},
		"Shop.Web:1.2.3-rc.1+b7": {PackageOrStep: "Shop.Web", Version: "1.2.3-rc.1+b7"},
	} {
		if got, err := deploy.ParsePackageSpec(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", ":", "Shop.Web:", "Shop.Web:*", "a:b:c:d", "a:b:", "*"} {
		got, err := deploy.ParsePackageSpec(text)
		if resource.CodeOf(err) != resource.Invalid {
			t.Errorf("%q became %+v, %v", text, got, err)
		}
	}
}

func FuzzParsePackageSpec(f *testing.F) {
	for _, seed := range []string{"a:1", `a\:b:c:1`, "*", `\`, "a=b/c:d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := deploy.ParsePackageSpec(text)
		if err == nil && (spec.Version == "" || spec.Version != strings.TrimSpace(spec.Version)) {
			t.Errorf("%q became %+v", text, spec)
		}
	})
}
