package rollout

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/variables"
)

// Approval is the hash by which people approve a plan, lower-case hex: of all
// that decides what runs, and of nothing that names this one run of it, so that
// the plan shown before and the one that is queued have the same (P6, P7).
// Left out are the ids of task, deployment and worker, and when and by whom the
// deployment was made. What a secret answer to a prompt says is not in it
// either: a hash of it could be guessed at (P9). Which machines there are is
// not: they come and go (design 5.1).
func (p *Plan) Approval() string {
	text, err := json.Marshal(p)
	if err != nil {
		panic("rollout: a plan always marshals: " + err.Error())
	}
	same := &Plan{BuiltIns: map[string]string{}}
	if err := json.Unmarshal(text, same); err != nil {
		panic("rollout: a plan always reads its own text: " + err.Error())
	}
	same.Task, same.Deployment, same.Worker = "", Ref{}, Ref{}
	for name := range same.BuiltIns {
		if ofThisRun(name) {
			delete(same.BuiltIns, name)
		}
	}
	for i := range same.Variables {
		if c := &same.Variables[i]; c.Rank == variables.Prompted {
			c.SetID = "" // the deployment's id
		}
	}
	for _, ids := range []*[]string{&same.Specific, &same.Excluded} {
		slices.Sort(*ids)
		*ids = slices.Compact(*ids)
	}
	same.BuiltIns[specificMachines] = strings.Join(same.Specific, ",")
	same.BuiltIns[excludedMachines] = strings.Join(same.Excluded, ",")
	return same.Hash()
}

const (
	specificMachines = "Octopus.Deployment.SpecificMachines"
	excludedMachines = "Octopus.Deployment.ExcludedMachines"
)

// ofThisRun says whether a built-in variable names the one run.
func ofThisRun(name string) bool {
	switch name {
	case "Octopus.Deployment.Id", "Octopus.Deployment.Name", "Octopus.Deployment.Created",
		"Octopus.Deployment.CreatedBy.Id", "Octopus.Deployment.CreatedBy.Username":
		return true
	}
	return strings.HasPrefix(name, "Octopus.Task.")
}
