package deploy_test

import (
	"slices"
	"testing"

	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/resource"
)

func phase(name string, minimum int, environments ...string) resource.Phase {
	return resource.Phase{Name: name, MinimumEnvironmentsBeforePromotion: minimum, OptionalDeploymentTargets: environments}
}

func optional(p resource.Phase) resource.Phase {
	p.IsOptionalPhase = true
	return p
}

// TestProgress walks a release through lifecycles (octopus-api.md 2.3).
func TestProgress(t *testing.T) {
	t.Parallel()
	automatic := phase("Test", 0, "test-b")
	automatic.AutomaticDeploymentTargets = []string{"test-a"}
	three := []resource.Phase{phase("Dev", 0, "dev"), phase("Test", 0, "test-a", "test-b"), phase("Prod", 0, "prod")}
	for name, c := range map[string]struct {
		phases    []resource.Phase
		succeeded []string
		next      []string
		done      []bool
	}{
		"a new release goes to the first phase":      {three, nil, []string{"dev"}, []bool{false, false, false}},
		"a done phase stays open and opens the next": {three, []string{"dev"}, []string{"dev", "test-a", "test-b"}, []bool{true, false, false}},
		"minimum 0 means all environments": {
			three,
			[]string{"dev", "test-a"},
			[]string{"dev", "test-a", "test-b"},
			[]bool{true, false, false},
		},
		"all done opens the last": {three, []string{"dev", "test-a", "test-b"}, []string{"dev", "test-a", "test-b", "prod"}, []bool{true, true, false}},
		"a minimum of 1 is enough": {
			[]resource.Phase{phase("Test", 1, "test-a", "test-b"), phase("Prod", 0, "prod")},
			[]string{"test-b"},
			[]string{"test-a", "test-b", "prod"},
			[]bool{true, false},
		},
		"an optional phase blocks nothing": {
			[]resource.Phase{phase("Dev", 0, "dev"), optional(phase("Test", 0, "test-a")), phase("Prod", 0, "prod")},
			[]string{"dev"},
			[]string{"dev", "test-a", "prod"},
			[]bool{true, false, false},
		},
		"an optional phase does not undo a block": {
			[]resource.Phase{phase("Dev", 0, "dev"), optional(phase("Test", 0, "test-a")), phase("Prod", 0, "prod")},
			[]string{"test-a"},
			[]string{"dev"},
			[]bool{false, true, false},
		},
		"automatic targets count": {
			[]resource.Phase{automatic, phase("Prod", 0, "prod")},
			[]string{"test-b"},
			[]string{"test-a", "test-b"},
			[]bool{false, false},
		},
		"a success out of order does not open what lies between": {three, []string{"prod"}, []string{"dev"}, []bool{false, false, true}},
		"a minimum above the number of environments means all": {
			[]resource.Phase{phase("Dev", 5, "dev"), phase("Prod", 0, "prod")},
			[]string{"dev"},
			[]string{"dev", "prod"},
			[]bool{true, false},
		},
		"a phase without environments is done": {
			[]resource.Phase{phase("Nothing", 0), phase("Prod", 0, "prod")}, nil, []string{"prod"}, []bool{true, false},
		},
		"an environment in two phases is named once": {
			[]resource.Phase{phase("Dev", 0, "dev"), phase("Again", 0, "dev", "prod")},
			[]string{"dev"},
			[]string{"dev", "prod"},
			[]bool{true, false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			succeeded := map[string]bool{}
			for _, env := range c.succeeded {
				succeeded[env] = true
			}
			progress := deploy.Progress(c.phases, succeeded)
			if next := deploy.NextEnvironments(progress); !slices.Equal(next, c.next) {
				t.Errorf("next: %v, want %v", next, c.next)
			}
			for i, p := range progress {
				if p.Done != c.done[i] {
					t.Errorf("phase %s done: %v, want %v", p.Phase.Name, p.Done, c.done[i])
				}
			}
		})
	}
}

// TestImplicitPhases: a lifecycle without phases has one for each environment,
// in their order.
func TestImplicitPhases(t *testing.T) {
	t.Parallel()
	environments := []resource.Environment{{Document: resource.Document{ID: "Environments-2"}, Name: "Dev"}, {Document: resource.Document{ID: "Environments-1"}, Name: "Prod"}}
	phases := deploy.Phases(&resource.Lifecycle{}, environments)
	if len(phases) != 2 || phases[0].Name != "Dev" || phases[1].OptionalDeploymentTargets[0] != "Environments-1" {
		t.Fatalf("phases: %+v", phases)
	}
	if next := deploy.NextEnvironments(deploy.Progress(phases, nil)); !slices.Equal(next, []string{"Environments-2"}) {
		t.Errorf("next: %v", next)
	}
	own := &resource.Lifecycle{Phases: []resource.Phase{phase("Only", 0, "Environments-1")}}
	if got := deploy.PhaseEnvironments(own, environments); !slices.Equal(got, []string{"Environments-1"}) {
		t.Errorf("environments of a lifecycle with phases: %v", got)
	}
}
