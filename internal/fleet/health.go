package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

const (
	healthTask = "Health"
	// probeDeadline is how long one machine's health script may take.
	probeDeadline = 60 * time.Second
	// probesAtOnce bounds the machines that are asked at the same time.
	probesAtOnce = 64
)

// QueueHealth queues a health check of machines in the caller's transaction.
func QueueHealth(tx *store.Tx, by, space, description string, machines []string) (*store.Task, error) {
	id, err := tx.NextID("ServerTasks")
	if err != nil {
		return nil, err
	}
	task := &store.Task{
		ID: id, SpaceID: space, Name: healthTask, State: store.TaskQueued, CreatedBy: by, Description: description,
		Arguments: map[string]any{"MachineIds": machines},
	}
	return task, store.InsertTask(tx, task)
}

// MachineAdded queues the first health check of new machines.
func MachineAdded(tx *store.Tx, by, space string, ids []string) error {
	for _, id := range ids {
		m, err := store.Get[resource.Machine](tx, id)
		if err != nil {
			return err
		}
		if _, err := QueueHealth(tx, by, space, "Check health of "+m.Name, []string{id}); err != nil {
			return err
		}
	}
	return nil
}

// queueRelinked queues a health check of machines that have just connected or
// whose link was lost: what their last check said is no longer true.
func (f *Fleet) queueRelinked(ctx context.Context) error {
	linked := false
	if err := f.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		ids, err := store.Relinked(tx)
		linked = len(ids) > 0
		return err
	}); err != nil || !linked {
		return err
	}
	return f.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		ids, err := store.Relinked(tx)
		if err != nil {
			return err
		}
		facts, err := store.MachineFacts(tx)
		if err != nil {
			return err
		}
		bySpace := map[string][]string{}
		for _, id := range ids {
			fact := facts[id]
			fact.Machine, fact.CheckedAt = id, tx.Now().UnixMilli()+1
			if err := store.SaveMachineFact(tx, fact); err != nil {
				return err
			}
			m, err := store.Get[resource.Machine](tx, id)
			if resource.CodeOf(err) == resource.NotFound {
				continue // a worker
			}
			if err != nil {
				return err
			}
			bySpace[m.SpaceID] = append(bySpace[m.SpaceID], id)
		}
		for _, space := range slices.Sorted(maps.Keys(bySpace)) {
			machines := bySpace[space]
			if _, err := QueueHealth(tx, "system", space, "Check health of "+count(len(machines))+" whose link changed", machines); err != nil {
				return err
			}
		}
		return nil
	})
}

func count(machines int) string {
	if machines == 1 {
		return "1 machine"
	}
	return fmt.Sprintf("%d machines", machines)
}

// resume puts the health tasks that a stopped server left behind back in the
// queue: a check may run twice.
func (f *Fleet) resume(ctx context.Context) error {
	return f.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		tasks, _, err := store.ListTasks(tx, store.TaskQuery{Name: healthTask, States: []store.TaskState{store.TaskExecuting, store.TaskCancelling}, Take: 1000})
		for i := range tasks {
			tasks[i].State, tasks[i].StartTime = store.TaskQueued, 0
			err = errors.Join(err, store.UpdateTask(tx, &tasks[i]))
		}
		return err
	})
}

// queueDue queues a health task for the machines of each policy whose check is
// due.
func (f *Fleet) queueDue(ctx context.Context) error {
	return f.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		facts, err := store.MachineFacts(tx)
		if err != nil {
			return err
		}
		policies, _, err := store.List[resource.MachinePolicy](tx, store.Query{AllSpaces: true})
		if err != nil {
			return err
		}
		now := tx.Now().UnixMilli()
		for i := range policies {
			interval := policies[i].MachineHealthCheckPolicy.HealthCheckInterval
			if interval == nil || interval.Duration() <= 0 {
				continue
			}
			if err := queuePolicy(tx, &policies[i], facts, now, interval.Duration()); err != nil {
				return err
			}
		}
		return nil
	})
}

func queuePolicy(tx *store.Tx, policy *resource.MachinePolicy, facts map[string]store.MachineFact, now int64, interval time.Duration) error {
	machines, _, err := store.List[resource.Machine](tx, store.Query{
		Space: policy.SpaceID, Where: map[string][]string{"MachinePolicyId": {policy.ID}},
	})
	if err != nil {
		return err
	}
	var due []string
	for i := range machines {
		fact, known := facts[machines[i].ID]
		if machines[i].IsDisabled || known && fact.DueAt > now {
			continue
		}
		fact.Machine, fact.DueAt = machines[i].ID, now+interval.Milliseconds()
		if err := store.SaveMachineFact(tx, fact); err != nil {
			return err
		}
		if known {
			due = append(due, machines[i].ID)
		}
	}
	if len(due) == 0 {
		return nil
	}
	_, err = QueueHealth(tx, "system", policy.SpaceID, fmt.Sprintf("Check health of %s of %s", count(len(due)), policy.Name), due)
	return err
}

// startHealthTasks runs each queued health task on its own.
func (f *Fleet) startHealthTasks(ctx context.Context) error {
	var queued []store.Task
	err := f.cfg.DB.Read(ctx, func(tx *store.Tx) (err error) {
		queued, _, err = store.ListTasks(tx, store.TaskQuery{Name: healthTask, States: []store.TaskState{store.TaskQueued}, Take: 100})
		return err
	})
	for _, task := range slices.Backward(queued) {
		f.mu.Lock()
		busy := f.running[task.ID]
		f.running[task.ID] = true
		f.mu.Unlock()
		if busy {
			continue
		}
		f.tasks.Go(func() {
			if err := f.runHealth(ctx, &task); err != nil && ctx.Err() == nil {
				f.log.ErrorContext(ctx, "health task", "task", task.ID, "error", err)
			}
			f.mu.Lock()
			delete(f.running, task.ID)
			f.mu.Unlock()
		})
	}
	return err
}

// subject is a machine to be checked with the scripts of its policy.
type subject struct {
	machine          resource.Machine
	bash, powershell string
}

// runHealth checks every machine of the task at the same time, each with its
// own deadline: none waits for another (pain 11 of fleets.md).
func (f *Fleet) runHealth(ctx context.Context, task *store.Task) error {
	subjects, err := f.begin(ctx, task)
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	slots := make(chan struct{}, probesAtOnce)
	for i := range subjects {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			if err := f.check(ctx, task.ID, &subjects[i]); err != nil && ctx.Err() == nil {
				f.log.ErrorContext(ctx, "check health", "machine", subjects[i].machine.ID, "error", err)
			}
		})
	}
	wait.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx) // the next start queues it again
	}
	return f.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		ended, err := store.GetTask(tx, task.ID)
		if err != nil {
			return err
		}
		ended.CompletedTime = tx.Now().UnixMilli()
		switch {
		case ended.State == store.TaskCancelling:
			ended.State = store.TaskCanceled
		default:
			ended.State = store.TaskSuccess
		}
		return store.UpdateTask(tx, ended)
	})
}

func (f *Fleet) begin(ctx context.Context, task *store.Task) (subjects []subject, err error) {
	err = f.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		subjects = nil
		current, err := store.GetTask(tx, task.ID)
		if err != nil || current.State != store.TaskQueued {
			return err
		}
		current.State, current.StartTime = store.TaskExecuting, tx.Now().UnixMilli()
		if err := store.UpdateTask(tx, current); err != nil {
			return err
		}
		subjects, err = subjectsOf(tx, current)
		return err
	})
	return subjects, err
}

func subjectsOf(tx *store.Tx, task *store.Task) ([]subject, error) {
	var ids []string
	list, _ := task.Arguments["MachineIds"].([]any)
	for _, id := range list {
		if text, ok := id.(string); ok {
			ids = append(ids, text)
		}
	}
	query := store.Query{Space: task.SpaceID, IDs: ids}
	if env, ok := task.Arguments["EnvironmentId"].(string); ok && env != "" && len(ids) == 0 {
		query = store.Query{Space: task.SpaceID, Where: map[string][]string{"EnvironmentIds": {env}}}
	}
	machines, _, err := store.List[resource.Machine](tx, query)
	if err != nil {
		return nil, err
	}
	var subjects []subject
	for i := range machines {
		if machines[i].IsDisabled {
			continue
		}
		policy, err := store.Get[resource.MachinePolicy](tx, machines[i].MachinePolicyID)
		if err != nil {
			return nil, err
		}
		s := subject{machine: machines[i]}
		if policy.MachineHealthCheckPolicy.HealthCheckType == resource.CheckRunScript {
			s.bash = script(policy.MachineHealthCheckPolicy.BashHealthCheckPolicy, defaultBash)
			s.powershell = script(policy.MachineHealthCheckPolicy.PowerShellHealthCheckPolicy, defaultPowerShell)
		}
		subjects = append(subjects, s)
	}
	return subjects, nil
}

// The health scripts of a policy that inherits them: enough disk to deploy.
const (
	defaultBash = `free=$(df -Pk / | awk 'NR==2 {print $4}')
echo "Free disk space: $((free / 1024)) MiB"
if [ "$free" -lt 512000 ]; then echo "##octopus[stdout-warning]"; echo "Less than 500 MiB of disk space are free"; fi
`
	defaultPowerShell = `$free = (Get-PSDrive -Name (Get-Location).Drive.Name).Free
Write-Host ("Free disk space: {0} MiB" -f [int]($free / 1MB))
if ($free -lt 500MB) { Write-Warning "Less than 500 MiB of disk space are free" }
`
)

func script(s resource.HealthCheckScript, inherited string) string {
	switch s.RunType {
	case resource.ScriptInline:
		if s.ScriptBody != nil {
			return *s.ScriptBody
		}
		return ""
	case resource.CheckOnlyConnectivity:
		return ""
	}
	return inherited
}

// check asks one machine and stores what it answered.
func (f *Fleet) check(ctx context.Context, task string, s *subject) error {
	probed, probeErr := f.cfg.Prober.Probe(ctx, s.machine.ID, s.bash, s.powershell, probeDeadline)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return f.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		m, err := store.Get[resource.Machine](tx, s.machine.ID)
		if resource.CodeOf(err) == resource.NotFound {
			return nil // deleted meanwhile
		}
		if err != nil {
			return err
		}
		owed, err := store.OwedTo(tx, m.ID)
		if err != nil {
			return err
		}
		before := m.HealthStatus
		m.HealthStatus, m.StatusSummary = verdict(probed, probeErr)
		if m.HealthStatus != resource.HealthUnavailable && len(owed) > 0 {
			m.HealthStatus, m.StatusSummary = resource.Unhealthy, owes(owed)
		}
		if m.HealthStatus == resource.Healthy {
			if err := noteEmpty(tx, m); err != nil {
				return err
			}
		}
		if err := say(tx, task, m, probed); err != nil {
			return err
		}
		return saveHealth(tx, m, before)
	})
}

// noteEmpty says of a healthy machine that it runs no release yet.
func noteEmpty(tx *store.Tx, m *resource.Machine) error {
	deployed, err := store.DeployedOn(tx, m.ID)
	if err == nil && len(deployed) == 0 {
		m.StatusSummary += " No release has been deployed to it yet."
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

// owes says what the machine still has to get.
func owes(owed []store.Owed) string {
	for i := range owed {
		if owed[i].Error != "" {
			return fmt.Sprintf("The current release of %s could not be deployed here: %s See %s.", owed[i].ProjectID, owed[i].Error, owed[i].TaskID)
		}
	}
	return fmt.Sprintf("Waits for the current release of %d projects.", len(owed))
}

func say(tx *store.Tx, task string, m *resource.Machine, p Probed) error {
	category := "Info"
	if m.HealthStatus != resource.Healthy {
		category = "Warning"
	}
	for line := range strings.Lines(string(p.Log)) {
		if parts := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3); len(parts) == 3 {
			if err := store.Say(tx, task, rollout.Note{Category: parts[1], Step: -1, Action: -1, Member: m.ID, Text: m.Name + ": " + parts[2]}); err != nil {
				return err
			}
		}
	}
	return store.Say(tx, task, rollout.Note{Category: category, Step: -1, Action: -1, Member: m.ID, Text: fmt.Sprintf("%s is %s: %s", m.Name, m.HealthStatus, m.StatusSummary)})
}

// saveHealth stores the machine with what its session knows, and an event when
// its health changed.
func saveHealth(tx *store.Tx, m *resource.Machine, before string) error {
	m.HealthCheckedOn = resource.TimeOf(tx.Now())
	session, err := store.GetSession(tx, m.ID)
	if err != nil {
		return err
	}
	m.Status = resource.StatusOffline
	if session != nil && session.State == store.SessionConnected {
		m.Status = resource.StatusOnline
		facts := session.Facts
		m.OperatingSystem, m.ShellName, m.ShellVersion = facts["OperatingSystem"], facts["ShellName"], facts["ShellVersion"]
		m.Architecture, m.AgentVersion = facts["Architecture"], facts["AgentVersion"]
		m.HasLatestCalamari = true
	}
	if session != nil && session.State == store.SessionDuplicate {
		m.HealthStatus, m.StatusSummary = resource.Unhealthy, "Duplicate identity: "+session.Reason
	}
	if err := store.Update(tx, m); err != nil {
		return err
	}
	if before == m.HealthStatus {
		return nil
	}
	category := map[string]string{
		resource.Healthy: resource.EventMachineHealthy, resource.HealthWarnings: resource.EventMachineHealthy,
		resource.Unhealthy: resource.EventMachineUnhealthy, resource.HealthUnavailable: resource.EventMachineUnavailable,
	}[m.HealthStatus]
	return store.Audit(tx, store.AuditRecord{
		Category: category, SpaceID: m.SpaceID, Message: fmt.Sprintf("Machine %s is %s", m.Name, m.HealthStatus), Details: m.StatusSummary, Related: []string{m.ID},
	})
}
