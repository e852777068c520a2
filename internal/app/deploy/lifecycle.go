package deploy

import (
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Phases are the lifecycle's phases; one without any has, in the order of the
// environments, one phase for each (octopus-api.md 2.3).
func Phases(l *resource.Lifecycle, environments []resource.Environment) []resource.Phase {
	if len(l.Phases) > 0 {
		return l.Phases
	}
	var phases []resource.Phase
	for i := range environments {
		e := &environments[i]
		phases = append(phases, resource.Phase{
			ID: e.ID, Name: e.Name, OptionalDeploymentTargets: []string{e.ID}, AutomaticDeploymentTargets: []string{},
			MinimumEnvironmentsBeforePromotion: 1,
		})
	}
	return phases
}

// PhaseProgress is one phase of a release's way.
type PhaseProgress struct {
	Phase    resource.Phase
	Done     bool     // enough environments succeeded
	Blocked  bool     // an earlier phase is not done
	Deployed []string // environments of the phase with a successful deployment
}

// Environments are those that the phase deploys to.
func (p *PhaseProgress) Environments() []string {
	return slices.Concat(p.Phase.AutomaticDeploymentTargets, p.Phase.OptionalDeploymentTargets)
}

// Progress walks the phases with the environments in which the release has
// succeeded. A phase is open when every phase before it is done or optional.
func Progress(phases []resource.Phase, succeeded map[string]bool) []PhaseProgress {
	var list []PhaseProgress
	blocked := false
	for _, phase := range phases {
		p := PhaseProgress{Phase: phase, Blocked: blocked}
		targets := p.Environments()
		for _, env := range targets {
			if succeeded[env] {
				p.Deployed = append(p.Deployed, env)
			}
		}
		need := phase.MinimumEnvironmentsBeforePromotion
		if need == 0 || need > len(targets) {
			need = len(targets)
		}
		p.Done = len(p.Deployed) >= need
		if !p.Done && !phase.IsOptionalPhase {
			blocked = true
		}
		list = append(list, p)
	}
	return list
}

// NextEnvironments are the environments that the release may be deployed to
// now: those of the phases that are not blocked.
func NextEnvironments(progress []PhaseProgress) []string {
	var list []string
	for i := range progress {
		if progress[i].Blocked {
			break
		}
		for _, env := range progress[i].Environments() {
			if !slices.Contains(list, env) {
				list = append(list, env)
			}
		}
	}
	return list
}

// allowed says why the lifecycle keeps a release from an environment; nil when
// it does not.
func allowed(progress []PhaseProgress, release *resource.Release, env *resource.Environment, nameOf func(id string) string) error {
	for i := range progress {
		p := &progress[i]
		if !slices.Contains(p.Environments(), env.ID) {
			continue
		}
		if !p.Blocked {
			return nil
		}
		var missing []string
		for j := range progress[:i] {
			if before := &progress[j]; !before.Done && !before.Phase.IsOptionalPhase {
				for _, id := range before.Environments() {
					missing = append(missing, nameOf(id))
				}
				break
			}
		}
		return resource.Errorf(resource.Invalid,
			"Release %s cannot be deployed to '%s' yet: the lifecycle asks for a successful deployment to %s first.", release.Version, env.Name, oneOfNames(missing))
	}
	return resource.Errorf(resource.Invalid, "Release %s cannot be deployed to '%s': no phase of its lifecycle has that environment.", release.Version, env.Name)
}

func oneOfNames(names []string) string {
	switch len(names) {
	case 0:
		return "an earlier phase"
	case 1:
		return "'" + names[0] + "'"
	}
	last := len(names) - 1
	return "'" + strings.Join(names[:last], "', '") + "' and '" + names[last] + "'"
}
