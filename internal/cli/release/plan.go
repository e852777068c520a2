package release

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipwayhq/slipway/internal/cli/console"
	"github.com/slipwayhq/slipway/internal/client"
)

// planned is a plan as the server shows it.
type planned struct {
	Project, Release, Environment struct{ Name string }

	PlanHash       string
	ValuesHidden   bool
	CanBeQueuedNow bool
	Steps          []struct {
		Number             int
		Name               string
		Condition          string
		Roles              []string
		WindowExplained    string
		ZoneByZone         bool
		StartsWithPrevious bool
		OnServer           bool
		Skipped            string
		Actions            []struct {
			Name, Number, Skipped string
			RunsOnce              bool
			Packages              []struct {
				PackageID string `json:"PackageId"`
				Version   string
			}
			FileChanges []struct{ Path, Change string }
		}
		Batches             [][]struct{ Name string }
		UnavailableMachines []struct{ Name string }
	}
	Variables []struct {
		Name   string
		Values []struct {
			Value, Source, Scope string
			Why                  []string
			Where                []struct {
				Action       string
				MachineNames []string
			}
		}
	}
	MachinesNotIn []struct{ Name, Reason string }
	Prompts       []struct {
		IsValueRequired bool
		Control         struct{ Name string }
	}
	Problems, Warnings []string
}

func plan(c *console.Console) *cobra.Command {
	var d client.NewDeployment
	var guided, environment string
	var values []string
	cmd := &cobra.Command{
		Use: "plan", Short: "Show the plan of a deployment: machines in batches, values and why, files, and its hash",
		Long: "Show what a deployment would do if it were queued now: which machines in which batches, which values\n" +
			"they get and why those won, which files change as far as the step says, and what would refuse it.\n" +
			"Nothing is changed. The hash is over all that decides what runs, machines excepted: give it to\n" +
			"`slipway release deploy --plan-hash` to deploy this plan and no other.",
		Example: "  slipway release plan --project Shop --version 1.2.0 --environment Production\n" +
			"  slipway release plan --project Shop --version 1.2.0 --environment Production --format basic",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := complete(&d, guided, values); err != nil {
				return err
			}
			d.Environments = []string{environment}
			cl, err := c.Client()
			if err != nil {
				return err
			}
			raw, err := cl.Plan(cmd.Context(), d)
			if err != nil {
				return err
			}
			var p planned
			if err := raw.Decode(&p); err != nil {
				return err
			}
			return c.Print(console.Result{Lines: p.lines(), Basic: []string{p.PlanHash}, JSON: raw})
		},
	}
	cmd.Flags().StringVarP(&environment, "environment", "e", "", "environment it would go to")
	// The flag was declared above.
	_ = cmd.MarkFlagRequired("environment")
	bindWhat(cmd, &d, &guided, &values)
	return cmd
}

func (p *planned) lines() []string {
	lines := []string{fmt.Sprintf("Plan: deploy %s %s to %s", p.Project.Name, p.Release.Name, p.Environment.Name), "Hash: " + p.PlanHash}
	for i := range p.Steps {
		lines = append(lines, "", p.stepLine(i))
		lines = append(lines, p.stepLines(i)...)
	}
	if len(p.MachinesNotIn) > 0 {
		lines = append(lines, "", "Machines that take no part:")
		for _, m := range p.MachinesNotIn {
			lines = append(lines, "  "+m.Name+": "+m.Reason)
		}
	}
	lines = append(lines, p.valueLines()...)
	for _, ask := range p.Prompts {
		need := "optional"
		if ask.IsValueRequired {
			need = "required"
		}
		lines = append(lines, "", fmt.Sprintf("Asks for %s (%s): --variable %s:…", ask.Control.Name, need, ask.Control.Name))
	}
	if len(p.Warnings) > 0 {
		lines = append(lines, "", "Warnings:")
		lines = append(lines, indented(p.Warnings)...)
	}
	if !p.CanBeQueuedNow {
		lines = append(lines, "", "It would be refused now:")
		lines = append(lines, indented(p.Problems)...)
	}
	return lines
}

func indented(list []string) []string {
	lines := make([]string, 0, len(list))
	for _, text := range list {
		lines = append(lines, "  "+text)
	}
	return lines
}

func (p *planned) stepLine(i int) string {
	s := &p.Steps[i]
	text := fmt.Sprintf("Step %d: %s", s.Number, s.Name)
	switch {
	case s.Skipped != "":
		return text + ", left out: " + s.Skipped
	case s.OnServer:
		text += ", on the server"
	case len(s.Batches) == 0:
		text += fmt.Sprintf(", on %s: no machine", strings.Join(s.Roles, " or "))
	default:
		machines := 0
		for _, batch := range s.Batches {
			machines += len(batch)
		}
		text += fmt.Sprintf(", on %s: %d machines", strings.Join(s.Roles, " or "), machines)
		if s.WindowExplained != "" {
			text += ", " + s.WindowExplained
		}
		if s.ZoneByZone {
			text += ", zone by zone"
		}
	}
	if s.Condition != "" && s.Condition != "Success" {
		text += ", condition " + s.Condition
	}
	if s.StartsWithPrevious {
		text += ", beside the step before"
	}
	return text
}

func (p *planned) stepLines(i int) []string {
	s := &p.Steps[i]
	var lines []string
	for n, batch := range s.Batches {
		var names []string
		for _, m := range batch {
			names = append(names, m.Name)
		}
		lines = append(lines, fmt.Sprintf("  %d. %s", n+1, strings.Join(names, ", ")))
	}
	for _, m := range s.UnavailableMachines {
		lines = append(lines, "  "+m.Name+" is unavailable now")
	}
	for _, a := range s.Actions {
		text := fmt.Sprintf("  %s %s", a.Number, a.Name)
		if a.Skipped != "" {
			lines = append(lines, text+": left out, "+a.Skipped)
			continue
		}
		if a.RunsOnce {
			text += ", once"
		}
		for _, pkg := range a.Packages {
			text += ", " + pkg.PackageID + " " + pkg.Version
		}
		lines = append(lines, text)
		for _, f := range a.FileChanges {
			lines = append(lines, fmt.Sprintf("    %s: %s", f.Path, f.Change))
		}
	}
	return lines
}

func (p *planned) valueLines() []string {
	if len(p.Variables) == 0 {
		return nil
	}
	title := "Variables:"
	if p.ValuesHidden {
		title = "Variables (you may not see their values):"
	}
	lines := []string{"", title}
	for _, v := range p.Variables {
		for _, value := range v.Values {
			lines = append(lines, fmt.Sprintf("  %s = %s  (%s, %s)", v.Name, strings.ReplaceAll(value.Value, "\n", "⏎"), value.Scope, value.Source))
			for _, place := range value.Where {
				where := "on the server"
				if len(place.MachineNames) > 0 {
					where = strings.Join(place.MachineNames, ", ")
				}
				lines = append(lines, fmt.Sprintf("    in %s: %s", place.Action, where))
			}
			for _, why := range value.Why {
				lines = append(lines, "    "+why)
			}
		}
	}
	return lines
}
