package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

const (
	// probeDeadline is how long one machine's health script may take;
	// answerDeadline how long its answer may, with the link and the end of the
	// script.
	probeDeadline  = 60 * time.Second
	answerDeadline = 100 * time.Second
	// probesAtOnce bounds the machines that one task asks at the same time. Those
	// that have a link are asked first: they answer, or their link ends, before
	// one that has to be dialled does.
	probesAtOnce = 1000
	// tasksAtOnce is how many queued tasks one look starts.
	tasksAtOnce = 100
)

var (
	errLate     = fmt.Errorf("no answer within %s", answerDeadline)
	errCanceled = errors.New("the health check was canceled")
)

// startHealthTasks runs each queued health task on its own, the oldest first.
func (f *Fleet) startHealthTasks(ctx context.Context) error {
	var queued []store.Task
	err := f.cfg.DB.Read(ctx, func(tx *store.Tx) error {
		query := store.TaskQuery{Name: healthTask, States: []store.TaskState{store.TaskQueued}, Take: 1}
		_, total, err := store.ListTasks(tx, query)
		if err != nil || total == 0 {
			return err
		}
		query.Take, query.Skip = tasksAtOnce, max(0, total-tasksAtOnce)
		queued, _, err = store.ListTasks(tx, query)
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
			if err := f.runHealth(ctx, task.ID); err != nil && ctx.Err() == nil {
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
	linked           bool
}

// runHealth checks every machine of the task at the same time, each with its
// own deadline: none waits for another (pain 11 of fleets.md). Once it is
// canceled, machines that have not answered keep the health they had.
func (f *Fleet) runHealth(ctx context.Context, task string) error {
	subjects, begun, err := f.begin(ctx, task)
	if err != nil || !begun {
		return err
	}
	asking, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watched := make(chan struct{})
	go func() { defer close(watched); f.watchCancel(asking, task, stop) }()
	f.checkAll(asking, task, subjects)
	stop(nil)
	<-watched
	if ctx.Err() != nil {
		return context.Cause(ctx) // the next start queues it again
	}
	return f.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		ended, err := store.GetTask(tx, task)
		if err != nil {
			return err
		}
		ended.CompletedTime = tx.Now().UnixMilli()
		if ended.State == store.TaskCancelling {
			ended.State = store.TaskCanceled
		} else {
			ended.State = store.TaskSuccess
		}
		return store.UpdateTask(tx, ended)
	})
}

func (f *Fleet) checkAll(ctx context.Context, task string, subjects []subject) {
	var wait sync.WaitGroup
	defer wait.Wait()
	slots := make(chan struct{}, probesAtOnce)
	for i := range subjects {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wait.Go(func() {
			defer func() { <-slots }()
			if err := f.check(ctx, task, &subjects[i]); err != nil && ctx.Err() == nil {
				f.log.ErrorContext(ctx, "check health", "machine", subjects[i].machine.ID, "error", err)
			}
		})
	}
}

// watchCancel ends the questions once somebody cancels the task.
func (f *Fleet) watchCancel(ctx context.Context, task string, stop context.CancelCauseFunc) {
	wake, unwatch := f.cfg.DB.Watch(store.TopicTasks + "/" + task)
	defer unwatch()
	for {
		canceled := false
		err := f.cfg.DB.Read(ctx, func(tx *store.Tx) error {
			now, err := store.GetTask(tx, task)
			canceled = err == nil && now.State == store.TaskCancelling
			return err
		})
		if canceled {
			stop(errCanceled)
			return
		}
		f.report(ctx, "watch health task", err)
		select {
		case <-ctx.Done():
			return
		case <-wake:
		}
	}
}

// begin marks the task as executing; not for one that was canceled meanwhile.
func (f *Fleet) begin(ctx context.Context, task string) (subjects []subject, begun bool, err error) {
	err = f.cfg.DB.Write(ctx, func(tx *store.Tx) error {
		subjects, begun = nil, false
		current, err := store.GetTask(tx, task)
		if err != nil || current.State != store.TaskQueued {
			return err
		}
		current.State, current.StartTime = store.TaskExecuting, tx.Now().UnixMilli()
		if err := store.UpdateTask(tx, current); err != nil {
			return err
		}
		begun = true
		subjects, err = subjectsOf(tx, current)
		return err
	})
	return subjects, begun, err
}

// subjectsOf are the enabled machines with an agent that the task names; a task
// that names none checks none (abuse 33).
func subjectsOf(tx *store.Tx, task *store.Task) ([]subject, error) {
	ids := []string{}
	list, _ := task.Arguments["MachineIds"].([]any)
	for _, id := range list {
		if text, ok := id.(string); ok {
			ids = append(ids, text)
		}
	}
	machines, _, err := store.List[resource.Machine](tx, store.Query{Space: task.SpaceID, IDs: ids})
	if err != nil {
		return nil, err
	}
	var subjects []subject
	for i := range machines {
		if machines[i].IsDisabled || !machines[i].Endpoint.Reachable() {
			continue
		}
		policy, err := store.Get[resource.MachinePolicy](tx, machines[i].MachinePolicyID)
		if err != nil {
			return nil, err
		}
		session, err := store.GetSession(tx, machines[i].ID)
		if err != nil {
			return nil, err
		}
		s := subject{machine: machines[i], linked: session != nil && session.State == store.SessionConnected}
		if policy.MachineHealthCheckPolicy.HealthCheckType == resource.CheckRunScript {
			s.bash = script(policy.MachineHealthCheckPolicy.BashHealthCheckPolicy, defaultBash)
			s.powershell = script(policy.MachineHealthCheckPolicy.PowerShellHealthCheckPolicy, defaultPowerShell)
		}
		subjects = append(subjects, s)
	}
	slices.SortStableFunc(subjects, func(a, b subject) int {
		switch {
		case a.linked == b.linked:
			return 0
		case a.linked:
			return -1
		}
		return 1
	})
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
	probed, probeErr := f.ask(ctx, s)
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
		if late, err := overtaken(tx, s, probeErr); err != nil || late {
			return err
		}
		before := m.HealthStatus
		if err := judge(tx, m, probed, probeErr); err != nil {
			return err
		}
		return errors.Join(say(tx, task, m, probed), warn(tx, task, m), saveHealth(tx, m, before))
	})
}

// overtaken says that the machine was out of reach because it had no link, and
// that one has opened since: the check that the link causes says what is true,
// and may have said it already.
func overtaken(tx *store.Tx, s *subject, probeErr error) (bool, error) {
	if s.linked || resource.CodeOf(probeErr) != resource.Unavailable {
		return false, nil
	}
	session, err := store.GetSession(tx, s.machine.ID)
	return session != nil && session.State == store.SessionConnected, err
}

// ask lets one check at a time ask the machine, with a deadline for its answer.
func (f *Fleet) ask(ctx context.Context, s *subject) (Probed, error) {
	return f.asked.ask(ctx, s.machine.ID, func() (Probed, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, answerDeadline, errLate)
		defer cancel()
		probed, err := f.cfg.Prober.Probe(ctx, s.machine.ID, s.bash, s.powershell, probeDeadline)
		if err != nil && errors.Is(context.Cause(ctx), errLate) {
			err = errLate
		}
		return probed, err
	})
}
