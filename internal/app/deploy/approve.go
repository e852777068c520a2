package deploy

import (
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
)

// approve compares the plan that is about to be queued with the one that people
// were shown, where they name its hash, and keeps the hash with the deployment
// (P6, P7, abuse 36). It runs in the transaction that queues: nothing comes
// between the comparison and the plan.
func approve(in *PlanInput) error {
	plan, err := BuildPlan(in)
	if err != nil {
		return err
	}
	hash := plan.Approval()
	if want := in.Deployment.PlanHash; want != "" && !strings.EqualFold(want, hash) {
		return resource.Errorf(resource.Conflict,
			"The plan is not the one that was approved: its hash is %.12s, not %.12s. Process, variables, packages or the options of the deployment are others now; look at the plan again and approve it.", hash, want)
	}
	in.Deployment.PlanHash = hash
	return nil
}
