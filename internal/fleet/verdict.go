package fleet

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// judge sets the machine's health from what it answered, what its link is
// worth, and what it is owed: a machine that still has to get a release is
// neither healthy nor unhealthy, one that could not get it is unhealthy.
func judge(tx *store.Tx, m *resource.Machine, p Probed, probeErr error) error {
	session, err := store.GetSession(tx, m.ID)
	if err != nil {
		return err
	}
	m.HealthStatus, m.StatusSummary = verdict(p, probeErr)
	if session != nil && session.State == store.SessionConnected {
		tell(m, session.Facts)
	}
	if session != nil && (session.State == store.SessionDuplicate || session.State == store.SessionQuarantined || session.State == store.SessionIncompatible) {
		m.HealthStatus, m.StatusSummary = resource.Unhealthy, session.Reason
		return nil
	}
	if m.HealthStatus == resource.HealthUnavailable {
		return nil
	}
	owed, err := store.OwedTo(tx, m.ID)
	if err != nil {
		return err
	}
	if skewed := clockSaid(session); skewed != "" {
		m.StatusSummary += skewed
	}
	if len(owed) > 0 {
		m.HealthStatus, m.StatusSummary, err = owes(tx, owed)
		return err
	}
	if m.HealthStatus == resource.Healthy {
		return noteEmpty(tx, m)
	}
	return nil
}

// clockTolerance is how far a machine's clock may be off before people read of
// it.
const clockTolerance = 5 * time.Minute

// clockSaid says how far the machine's clock is off, "" if it is right (fault
// 29). Nothing depends on it: times are put on the server's clock.
func clockSaid(session *store.Session) string {
	if session == nil {
		return ""
	}
	ms, err := strconv.ParseInt(session.Facts["ClockSkewMs"], 10, 64)
	off := time.Duration(ms) * time.Millisecond
	switch {
	case err != nil || off.Abs() < clockTolerance:
		return ""
	case off > 0:
		return fmt.Sprintf(" Its clock is %v ahead of the server's.", off.Round(time.Minute))
	}
	return fmt.Sprintf(" Its clock is %v behind the server's.", off.Abs().Round(time.Minute))
}

// tell takes over what the agent said of its machine.
func tell(m *resource.Machine, facts map[string]string) {
	m.OperatingSystem = facts["OSDescription"]
	if m.OperatingSystem == "" {
		m.OperatingSystem = facts["OS"]
	}
	m.ShellName, m.ShellVersion = facts["Shell"], facts["ShellVersion"]
	m.Architecture, m.AgentVersion = facts["Architecture"], facts["Version"]
	m.HasLatestCalamari = true
}

// noteEmpty says of a healthy machine that it runs no release yet.
func noteEmpty(tx *store.Tx, m *resource.Machine) error {
	deployed, err := store.DeployedOn(tx, m.ID)
	if err == nil && len(deployed) == 0 {
		m.StatusSummary += " No release had been deployed to it when it was checked."
	}
	return err
}

// verdict is the health that an answer means.
func verdict(p Probed, err error) (status, summary string) {
	switch {
	case err != nil:
		if known, ok := errors.AsType[*resource.Error](err); ok {
			return resource.HealthUnavailable, known.Message
		}
		return resource.HealthUnavailable, "The agent did not answer: " + err.Error()
	case p.TimedOut:
		return resource.Unhealthy, fmt.Sprintf("The health script did not end within %s.", probeDeadline)
	case p.ExitCode != 0:
		return resource.Unhealthy, fmt.Sprintf("The health script ended with code %d.", p.ExitCode)
	case p.Warnings:
		return resource.HealthWarnings, "The health script warned."
	}
	return resource.Healthy, "This machine is healthy."
}

// owes says what the machine still has to get. A machine whose catch-up is on
// its way must not look unhealthy: who waits for it would give up.
func owes(tx *store.Tx, owed []store.Owed) (status, summary string, err error) {
	for i := range owed {
		o := &owed[i]
		if o.Error == "" {
			continue
		}
		project, err := store.Get[resource.Project](tx, o.ProjectID)
		if err != nil && resource.CodeOf(err) != resource.NotFound {
			return "", "", err
		}
		name := o.ProjectID
		if project != nil {
			name = project.Name
		}
		summary := fmt.Sprintf("The current release of %s could not be deployed here: %s", name, o.Error)
		if o.TaskID != refused {
			summary += " See " + o.TaskID + "."
		}
		return resource.Unhealthy, summary, nil
	}
	if len(owed) == 1 {
		return resource.HealthUnknown, "Waits for the current release of 1 project.", nil
	}
	return resource.HealthUnknown, fmt.Sprintf("Waits for the current release of %d projects.", len(owed)), nil
}

// maxLines bounds how much of a machine's health script the task keeps.
const maxLines = 200

func say(tx *store.Tx, task string, m *resource.Machine, p Probed) error {
	n := 0
	for line := range strings.Lines(string(p.Log)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		if len(parts) != 3 {
			continue
		}
		text := m.Name + ": " + parts[2]
		if n++; n > maxLines {
			text = fmt.Sprintf("%s: the script said more than %d lines; the rest is left out.", m.Name, maxLines)
		}
		if err := store.Say(tx, task, rollout.Note{Category: parts[1], Step: -1, Action: -1, Member: m.ID, Text: text}); err != nil || n > maxLines {
			return err
		}
	}
	return nil
}

// warn ends what the task says of a machine, and marks the task where something
// is wrong with it.
func warn(tx *store.Tx, task string, m *resource.Machine) error {
	category := "Info"
	if m.HealthStatus != resource.Healthy && m.HealthStatus != resource.HealthUnknown {
		category = "Warning"
		t, err := store.GetTask(tx, task)
		if err == nil && !t.HasWarnings {
			t.HasWarnings = true
			err = store.UpdateTask(tx, t)
		}
		if err != nil {
			return err
		}
	}
	return store.Say(tx, task, rollout.Note{Category: category, Step: -1, Action: -1, Member: m.ID, Text: fmt.Sprintf("%s is %s: %s", m.Name, m.HealthStatus, m.StatusSummary)})
}

// saveHealth stores the machine, and an event when its health changed.
func saveHealth(tx *store.Tx, m *resource.Machine, before string) error {
	m.HealthCheckedOn = resource.TimeOf(tx.Now())
	if err := store.Update(tx, m); err != nil {
		return err
	}
	category := map[string]string{
		resource.Healthy: resource.EventMachineHealthy, resource.HealthWarnings: resource.EventMachineHealthy,
		resource.Unhealthy: resource.EventMachineUnhealthy, resource.HealthUnavailable: resource.EventMachineUnavailable,
	}[m.HealthStatus]
	if before == m.HealthStatus || category == "" {
		return nil
	}
	return store.Audit(tx, store.AuditRecord{
		Category: category, SpaceID: m.SpaceID, Message: fmt.Sprintf("Machine %s is %s", m.Name, m.HealthStatus), Details: m.StatusSummary,
		Subjects: []store.Subject{{ID: m.ID, Name: m.Name}},
	})
}
