package deploy

import (
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/steps"
	"github.com/slipwayhq/slipway/internal/variables"
)

// Project variables that declare what happens when nobody is there to ask.
const (
	// UnknownOutcome is Ask (also when absent) or Fail: whether a deployment
	// waits for a person when the end of a script cannot be known (P2).
	UnknownOutcome = "Slipway.Deployment.UnknownOutcome"
	// AnswerWithin is after how many minutes without an answer a question about
	// a failure counts as answered with Fail; absent waits for ever.
	AnswerWithin = "Slipway.Deployment.AnswerWithinMinutes"
	// RollBack is Automatic or Off (also when absent): whether a deployment that
	// fails is followed by one of the release that succeeded last.
	RollBack = "Slipway.Deployment.RollBack"
)

// questions freezes when the rollout asks people. One that brings newcomers up
// to date asks nobody: it runs unattended.
func questions(in *PlanInput, plan *rollout.Plan) error {
	if in.Kind != rollout.Deploy {
		return nil
	}
	settings := map[string]string{}
	ctx := variables.Context{Environment: in.Environment.ID, Channel: in.Channel.ID, Project: in.Project.ID, ProcessOwners: []string{in.Project.ID}}
	for _, c := range variables.Resolve(plan.Variables, ctx).Choices {
		for _, name := range []string{UnknownOutcome, AnswerWithin, RollBack} {
			if strings.EqualFold(c.Name, name) {
				settings[name] = strings.TrimSpace(c.Value)
			}
		}
	}
	switch strings.ToLower(settings[UnknownOutcome]) {
	case "", "ask":
		plan.AskUnknown = true
	case "fail":
	default:
		return resource.Errorf(resource.Invalid, "The variable %s is '%s'. Set it to Ask or Fail.", UnknownOutcome, settings[UnknownOutcome])
	}
	within, err := steps.Minutes(settings, AnswerWithin)
	if err != nil {
		return resource.Errorf(resource.Invalid, "The variable %v.", err)
	}
	plan.AnswerWithin = within
	switch strings.ToLower(settings[RollBack]) {
	case "", "off":
	case "automatic":
		plan.RollBack = in.Deployment.RollsBackTaskID == "" // one that rolls back is not rolled back
	default:
		return resource.Errorf(resource.Invalid, "The variable %s is '%s'. Set it to Automatic or Off.", RollBack, settings[RollBack])
	}
	return nil
}

// planPolicies freezes what the action's properties say about failures and
// time.
func planPolicies(kind *steps.Type, a *rollout.Action) (err error) {
	if a.Retries, a.Backoff, err = steps.Retries(a.Properties); err != nil {
		return err
	}
	if a.Limit, err = steps.Minutes(a.Properties, steps.TimeLimit); err != nil {
		return err
	}
	a.Idempotent = steps.Flag(a.Properties, steps.Idempotent)
	a.RebootsExpected = steps.Flag(a.Properties, steps.RebootsExpected)
	if !kind.Asks {
		return nil
	}
	a.Manual = &rollout.Manual{Instructions: a.Properties[steps.ManualInstructions], Teams: steps.List(a.Properties[steps.ManualTeams])}
	a.Manual.Within, err = steps.Minutes(a.Properties, steps.ManualDeadline)
	return err
}

func asks(actionType string) bool {
	kind, known := steps.Lookup(actionType)
	return known && kind.Asks
}
