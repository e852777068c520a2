package deploy_test

import (
	"strings"
	"testing"

	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/resource"
)

// TestNextVersion fills versioning templates (octopus-api.md 1.9).
func TestNextVersion(t *testing.T) {
	t.Parallel()
	const byPatch = resource.DefaultVersionTemplate
	for _, c := range []struct{ template, last, want string }{
		{byPatch, "", "0.0.1"},
		{byPatch, "5.0.0", "5.0.1"},
		{byPatch, "1.2.3", "1.2.4"},
		{byPatch, "1.2.3-beta.4", "1.2.4"},
		{byPatch, "1.2", "1.2.1"},
		{byPatch, "v2.0.9+build7", "2.0.10"},
		{byPatch, "DeleteMe5.0", "0.0.1"}, // no numbers in front
		{byPatch, "latest", "0.0.1"},
		{byPatch, "2147483647.0.2147483647", "2147483647.0.2147483648"},
		{byPatch, "99999999999.0.0", "0.0.1"}, // beyond 32 bits: no version to follow
		{"#{Octopus.Version.NextMajor}.0.0", "1.2.3", "2.0.0"},
		{"#{Octopus.Version.LastMajor}.#{Octopus.Version.NextMinor}", "1.2.3", "1.3"},
		{"#{octopus.version.lastmajor}.#{ Octopus.Version.NextRevision }", "1.2.3.4", "1.5"},
		{"1.0.#{Octopus.Version.NextPatch}-rc", "1.0.7-rc", "1.0.8-rc"},
		{"fixed", "1.0.0", "fixed"},
		{"", "1.0.0", ""},
	} {
		if got, err := deploy.NextVersion(c.template, c.last); err != nil || got != c.want {
			t.Errorf("%q after %q: %q, %v; want %q", c.template, c.last, got, err, c.want)
		}
	}
	for _, template := range []string{"#{Octopus.Version.LastMajor", "#{}", "#{Octopus.Release.Number}", "#{Octopus.Version.Last}", "#{Octopus.Version.NextWeek}", "#{Octopus.Date.Year}"} {
		if got, err := deploy.NextVersion(template, "1.0.0"); err == nil {
			t.Errorf("%q became %q", template, got)
		} else if !strings.Contains(err.Error(), "#{") {
			t.Errorf("%q: the error does not show the part: %v", template, err)
		}
	}
}

func FuzzNextVersion(f *testing.F) {
	f.Add(resource.DefaultVersionTemplate, "1.2.3")
	f.Add("#{Octopus.Version.NextMajor}", "v1.0.0-x+y")
	f.Add("}#{", "")
	f.Fuzz(func(t *testing.T, template, last string) {
		got, err := deploy.NextVersion(template, last)
		if err == nil && strings.Contains(got, "#{") {
			t.Errorf("%q after %q left %q", template, last, got)
		}
	})
}
