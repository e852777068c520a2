package steps

import "fmt"

// Properties of Octopus.Manual.
const (
	ManualInstructions = "Octopus.Action.Manual.Instructions"
	ManualTeams        = "Octopus.Action.Manual.ResponsibleTeamIds" // comma-separated ids
	// ManualDeadline is after how many minutes without an answer the step has
	// failed; empty waits for ever.
	ManualDeadline = "Slipway.Action.Manual.DeadlineMinutes"
)

var manual = &Type{
	Name:        "Octopus.Manual",
	Title:       "Manual Intervention",
	Description: "Stops until somebody has followed the instructions and says whether to go on.",
	Category:    "Other",
	OnServer:    true,
	Asks:        true,
	Validate: func(p map[string]string) error {
		if p[ManualInstructions] == "" {
			return fmt.Errorf("%s is empty; write there what to look at before the deployment goes on", ManualInstructions)
		}
		_, err := Minutes(p, ManualDeadline)
		return err
	},
}
