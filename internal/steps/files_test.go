package steps_test

import (
	"fmt"
	"testing"

	"github.com/slipwayhq/slipway/internal/steps"
)

func TestFileChanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		properties map[string]string
		want       string
	}{
		"nothing":           {nil, "[]"},
		"feature is off":    {map[string]string{steps.SubstituteFiles: "a.txt", steps.UpdateSettings: "True"}, "[]"},
		"files, one a line": {map[string]string{steps.EnabledFeatures: "Octopus.Features.SubstituteInFiles", steps.SubstituteFiles: "a.txt\r\n\r\n b/*.txt"}, "[{a.txt variables are substituted} {b/*.txt variables are substituted}]"},
		"settings":          {map[string]string{steps.EnabledFeatures: "x, Octopus.Features.ConfigurationVariables", steps.UpdateSettings: "True"}, "[{**/*.config settings and connection strings are replaced}]"},
		"purged folder":     {map[string]string{steps.CustomDirectory: "/srv/#{Name}", steps.PurgeCustom: "True"}, "[{/srv/#{Name} is emptied, then the package is copied into it}]"},
	} {
		if got := fmt.Sprint(steps.FileChanges(c.properties)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
