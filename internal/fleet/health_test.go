package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/fleet"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// says is an answer that is given at once.
func says(p fleet.Probed, err error) answer {
	return func(context.Context) (fleet.Probed, error) { return p, err }
}

// deaf never answers.
func deaf(ctx context.Context) (fleet.Probed, error) {
	<-ctx.Done()
	return fleet.Probed{}, context.Cause(ctx)
}

// health queues a check by a person and returns the task.
func (w *world) health(ids ...string) string {
	w.t.Helper()
	var id string
	w.write(func(tx *store.Tx) error {
		task, err := fleet.QueueHealth(tx, "ann", space, "Check health", ids)
		id = task.ID
		return err
	})
	return id
}

func (w *world) notes(task string) string {
	w.t.Helper()
	var lines []string
	w.read(func(tx *store.Tx) error {
		notes, err := store.Notes(tx, task)
		for i := range notes {
			lines = append(lines, notes[i].Category+": "+notes[i].Text)
		}
		return err
	})
	return strings.Join(lines, "\n")
}

func (w *world) events(category string) []string {
	w.t.Helper()
	var list []string
	w.read(func(tx *store.Tx) error {
		events, _, err := store.ListEvents(tx, store.EventQuery{AllSpaces: true, Categories: []string{category}, Take: 1000})
		for i := range events {
			list = append(list, events[i].Message)
		}
		return err
	})
	return list
}

// Each answer means one health, says why, and marks the task where something
// is wrong.
func TestWhatAnAnswerMeans(t *testing.T) {
	story(t, func(w *world) {
		id := w.machines(1)[0]
		if m := w.get(id); m.Status != resource.StatusOnline || m.OperatingSystem != "Debian 13" || m.ShellName != "Bash" ||
			m.ShellVersion != "5.2" || m.Architecture != "amd64" || m.AgentVersion != "1.2.3" || m.HealthCheckedOn.IsZero() {
			t.Errorf("what the agent said is not there: %+v", m.Node)
		}
		log := []byte("1\tInfo\tFree disk space: 3 MiB\n2\tWarning\tLess than 500 MiB of disk space are free\nbroken line\n")
		for _, c := range []struct {
			answer   answer
			health   string
			status   string
			summary  string
			warnings bool
		}{
			{says(fleet.Probed{Log: log, Warnings: true}, nil), resource.HealthWarnings, resource.StatusOnline, "warned", true},
			{says(fleet.Probed{ExitCode: 7}, nil), resource.Unhealthy, resource.StatusOnline, "code 7", true},
			{says(fleet.Probed{TimedOut: true, ExitCode: 1}, nil), resource.Unhealthy, resource.StatusOnline, "did not end within 1m0s", true},
			{says(fleet.Probed{}, resource.Errorf(resource.Unavailable, "The agent of 'x' sleeps.")), resource.HealthUnavailable, resource.StatusOffline, "The agent of 'x' sleeps.", true},
			{says(fleet.Probed{}, errors.New("broken pipe")), resource.HealthUnavailable, resource.StatusOffline, "did not answer: broken pipe", true},
			{deaf, resource.HealthUnavailable, resource.StatusOffline, "no answer within", true},
			{says(fleet.Probed{}, nil), resource.Healthy, resource.StatusOnline, "This machine is healthy. No release had been deployed", false},
		} {
			w.prober.set(id, c.answer)
			task := w.ends(w.health(id), store.TaskSuccess)
			m := w.get(id)
			if m.HealthStatus != c.health || m.Status != c.status || !strings.Contains(m.StatusSummary, c.summary) {
				t.Errorf("it is %s (%s): %s, want %s: %s", m.HealthStatus, m.Status, m.StatusSummary, c.health, c.summary)
			}
			if task.HasWarnings != c.warnings {
				t.Errorf("%s: the task has warnings: %v", c.health, task.HasWarnings)
			}
			if notes := w.notes(task.ID); !strings.Contains(notes, "web-01 is "+c.health+": ") {
				t.Errorf("the task says %q", notes)
			}
		}
		if notes := w.notes(w.tasks("Health")[2].ID); notes != "Info: web-01: Free disk space: 3 MiB\nWarning: web-01: Less than 500 MiB of disk space are free\nWarning: web-01 is HasWarnings: The health script warned." {
			t.Errorf("the log of the task is %q", notes)
		}
		if events := w.events(resource.EventMachineUnhealthy); len(events) != 1 || events[0] != "Machine web-01 is Unhealthy" {
			t.Errorf("events of a machine that was unhealthy twice in a row: %q", events)
		}
	})
}

// A machine whose link is held back is unhealthy, with the reason, whatever a
// check finds (abuse 4, fault 32).
func TestHeldIdentitiesAreUnhealthy(t *testing.T) {
	for state, reason := range map[store.SessionState]string{
		store.SessionDuplicate:    "Duplicate identity: two agents are running.",
		store.SessionQuarantined:  "The agent's start counter went back.",
		store.SessionIncompatible: "The agent speaks another protocol.", // fault 45
	} {
		t.Run(string(state), func(t *testing.T) {
			story(t, func(w *world) {
				id := w.machines(1)[0]
				w.write(func(tx *store.Tx) error {
					return store.HoldSession(tx, &store.Session{Machine: id, Node: "node-1", State: state, Reason: reason})
				})
				w.isWithin(6*time.Second, id, resource.Unhealthy, reason)
				w.connect(id) // and once it is sorted out
				w.isWithin(soon, id, resource.Healthy)
			})
		})
	}
}

// fault 29: a clock that is a day off is shown and harms nothing.
func TestAWrongClockIsShown(t *testing.T) {
	story(t, func(w *world) {
		id := w.machines(1)[0]
		for ms, said := range map[string]string{"86400000": "Its clock is 24h0m0s ahead", "-86399000": "Its clock is 24h0m0s behind"} {
			w.connect(id)
			w.write(func(tx *store.Tx) error {
				session, err := store.GetSession(tx, id)
				if err != nil {
					return err
				}
				session.Facts["ClockSkewMs"] = ms
				return store.OpenSession(tx, session)
			})
			w.health(id)
			w.isWithin(soon, id, resource.Healthy, said)
		}
		w.connect(id)
		w.health(id)
		w.isWithin(soon, id, resource.Healthy, "This machine is healthy. No release")
	})
}

// Pain 11 of fleets.md: machines that hang delay nobody, and end by their own
// deadline.
func TestAHungMachineDelaysNobody(t *testing.T) {
	story(t, func(w *world) {
		ids := w.machines(4)
		began := time.Now()
		w.prober.set(ids[1], deaf)
		w.prober.set(ids[3], func(ctx context.Context) (fleet.Probed, error) {
			w.pass(30 * time.Second)
			return fleet.Probed{ExitCode: 3}, nil
		})
		w.prober.set(ids[0], says(fleet.Probed{ExitCode: 1}, nil))
		w.prober.set(ids[2], says(fleet.Probed{ExitCode: 2}, nil))
		task := w.health(ids...)
		w.isWithin(soon, ids[0], resource.Unhealthy, "code 1")
		w.isWithin(soon, ids[2], resource.Unhealthy, "code 2")
		w.isWithin(31*time.Second, ids[3], resource.Unhealthy, "code 3")
		other := w.health(ids[0]) // nor does the task hold up others
		w.within(soon, other+" ends", func(tx *store.Tx) (bool, error) {
			task, err := store.GetTask(tx, other)
			return err == nil && task.State == store.TaskSuccess, err
		})
		w.ends(task, store.TaskSuccess)
		w.is(ids[1], resource.HealthUnavailable, "no answer")
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("the check took %s", took)
		}
	})
}

// However many checks of a slow machine are queued, it is asked by one at a
// time, and those that wait share an answer.
func TestOneQuestionAtATime(t *testing.T) {
	story(t, func(w *world) {
		id := w.machines(1)[0]
		before := len(w.prober.of(id))
		asking, most := 0, 0
		w.prober.set(id, func(context.Context) (fleet.Probed, error) {
			asking++
			most = max(most, asking)
			w.pass(40 * time.Second)
			asking--
			return fleet.Probed{}, nil
		})
		var tasks []string
		for range 10 {
			tasks = append(tasks, w.health(id))
			w.pass(100 * time.Millisecond)
		}
		for _, task := range tasks {
			w.ends(task, store.TaskSuccess)
		}
		if asked := len(w.prober.of(id)) - before; most != 1 || asked != 2 {
			t.Errorf("asked %d times, %d at once", asked, most)
		}
	})
}

// A machine that is deleted while it is asked leaves nothing behind.
func TestDeletedWhileItIsAsked(t *testing.T) {
	story(t, func(w *world) {
		id := w.machines(1)[0]
		goOn := make(chan struct{})
		w.prober.set(id, func(context.Context) (fleet.Probed, error) { <-goOn; return fleet.Probed{}, nil })
		task := w.health(id)
		w.pass(soon)
		check(t, w.docs.Delete(context.Background(), w.who, resource.MachineKind, space, id))
		close(goOn)
		w.ends(task, store.TaskSuccess)
		w.read(func(tx *store.Tx) error {
			facts, err := store.MachineFacts(tx)
			if _, there := facts[id]; there {
				t.Error("facts of a deleted machine are left")
			}
			return err
		})
	})
}

// A canceled check ends at once; machines that did not answer keep their
// health, also those whose check others waited to share.
func TestCancelOfAHealthTask(t *testing.T) {
	story(t, func(w *world) {
		ids := w.machines(2)
		w.prober.set(ids[0], says(fleet.Probed{ExitCode: 1}, nil))
		w.prober.set(ids[1], deaf)
		first, second, third := w.health(ids...), w.health(ids[1]), w.health(ids[1])
		w.isWithin(soon, ids[0], resource.Unhealthy)
		cancel := func(task string) {
			t.Helper()
			w.write(func(tx *store.Tx) error { return store.CancelTask(tx, task, "ann") })
			w.within(soon, task+" is canceled", func(tx *store.Tx) (bool, error) {
				now, err := store.GetTask(tx, task)
				return err == nil && now.State == store.TaskCanceled && now.CompletedTime != 0, err
			})
		}
		cancel(second)
		cancel(first)
		if m := w.get(ids[1]); m.HealthStatus != resource.Healthy {
			t.Errorf("who did not answer is %s: %s", m.HealthStatus, m.StatusSummary)
		}
		w.prober.set(ids[1], says(fleet.Probed{ExitCode: 4}, nil))
		w.isWithin(2*time.Minute, ids[1], resource.HealthUnavailable) // of the third, which was asking by then
		w.ends(third, store.TaskSuccess)
		err := w.db.Write(context.Background(), func(tx *store.Tx) error { return store.CancelTask(tx, first, "bob") })
		if resource.CodeOf(err) != resource.PreconditionFailed {
			t.Errorf("canceled twice: %v", err)
		}
	})
}

// A check that was canceled before it began does not begin (I7).
func TestCanceledBeforeItBegan(t *testing.T) {
	story(t, func(w *world) {
		id := w.machines(1)[0]
		w.stop("fleet")
		task := w.health(id)
		w.write(func(tx *store.Tx) error { return store.CancelTask(tx, task, "ann") })
		asked := len(w.prober.of(id))
		w.startFleet()
		w.pass(time.Minute)
		if got := w.task(task); got.State != store.TaskCanceled || len(w.prober.of(id)) != asked {
			t.Errorf("it is %s, the machine was asked %d times more", got.State, len(w.prober.of(id))-asked)
		}
	})
}

// Checks that a stopped server left behind go on after its start; one that was
// being canceled does not.
func TestChecksGoOnAfterARestart(t *testing.T) {
	story(t, func(w *world) {
		ids := w.machines(2)
		w.prober.set(ids[0], deaf)
		task := w.health(ids...)
		w.within(soon, "it runs", func(tx *store.Tx) (bool, error) {
			now, err := store.GetTask(tx, task)
			return err == nil && now.State == store.TaskExecuting, err
		})
		w.stop("fleet")
		if got := w.task(task); got.State != store.TaskExecuting {
			t.Fatalf("it was stopped as %s", got.State)
		}
		canceled := w.health(ids[1])
		w.write(func(tx *store.Tx) error {
			now, err := store.GetTask(tx, canceled)
			if err != nil {
				return err
			}
			now.State = store.TaskCancelling
			return store.UpdateTask(tx, now)
		})
		w.prober.set(ids[0], says(fleet.Probed{ExitCode: 9}, nil))
		w.startFleet()
		w.isWithin(soon, ids[0], resource.Unhealthy, "code 9")
		w.ends(task, store.TaskSuccess)
		w.ends(canceled, store.TaskCanceled)
	})
}

// A task that names no machine, or only such as are gone or switched off,
// checks none: never all (abuse 33).
func TestAnEmptyCheckChecksNobody(t *testing.T) {
	story(t, func(w *world) {
		ids := w.machines(2)
		w.change(ids[1], func(m *resource.Machine) { m.IsDisabled = true })
		w.quiet()
		asked := len(w.prober.asked)
		for _, task := range []string{w.health(), w.health("Machines-99"), w.health(ids[1])} {
			w.ends(task, store.TaskSuccess)
		}
		if n := len(w.prober.asked) - asked; n != 0 {
			t.Errorf("%d machines were asked", n)
		}
	})
}

// policy makes a machine policy.
func (w *world) policy(name string, edit func(p *resource.MachinePolicy)) string {
	w.t.Helper()
	p := resource.DefaultMachinePolicy()
	p.SpaceID, p.Name, p.IsDefault = space, name, false
	edit(p)
	w.write(func(tx *store.Tx) error { return store.Insert(tx, p) })
	return p.ID
}

// Every policy has its own interval and scripts.
func TestEachPolicyHasItsIntervalAndScripts(t *testing.T) {
	story(t, func(w *world) {
		minute, never := resource.TimeSpan(time.Minute), resource.TimeSpan(0)
		inline := "exit 4"
		policies := map[string]string{
			"often": w.policy("often", func(p *resource.MachinePolicy) {
				p.MachineHealthCheckPolicy.HealthCheckInterval = &minute
				p.MachineHealthCheckPolicy.BashHealthCheckPolicy = resource.HealthCheckScript{RunType: resource.ScriptInline, ScriptBody: &inline}
				p.MachineHealthCheckPolicy.PowerShellHealthCheckPolicy = resource.HealthCheckScript{RunType: resource.CheckOnlyConnectivity}
			}),
			"link": w.policy("link", func(p *resource.MachinePolicy) {
				p.MachineHealthCheckPolicy.HealthCheckInterval = &never
				p.MachineHealthCheckPolicy.HealthCheckType = resource.CheckOnlyConnectivity
				p.MachineHealthCheckPolicy.BashHealthCheckPolicy = resource.HealthCheckScript{RunType: resource.ScriptInline, ScriptBody: &inline}
			}),
			"hourly": "MachinePolicies-1",
		}
		ids := map[string]string{}
		for name, policy := range policies {
			ids[name] = w.machine(name, "web")
			w.change(ids[name], func(m *resource.Machine) { m.MachinePolicyID = policy })
		}
		off := w.machine("off", "web")
		w.change(off, func(m *resource.Machine) { m.MachinePolicyID, m.IsDisabled = policies["often"], true })
		for _, id := range ids {
			w.is(id, resource.Healthy)
		}
		w.quiet()
		w.pass(sweep)
		before := map[string]int{"off": len(w.prober.of(off))}
		for name, id := range ids {
			before[name] = len(w.prober.of(id))
		}
		w.pass(61 * time.Minute)
		w.quiet()
		asked := func(name, id string) int { return len(w.prober.of(id)) - before[name] }
		if often, link, hourly := asked("often", ids["often"]), asked("link", ids["link"]), asked("hourly", ids["hourly"]); often < 45 || often > 62 || link != 0 || hourly != 1 {
			t.Errorf("in an hour, asked %d times every minute, %d never, %d every hour", often, link, hourly)
		}
		if n := asked("off", off); n != 0 {
			t.Errorf("a machine that is switched off was asked %d times", n)
		}
		last := func(name string) question { list := w.prober.of(ids[name]); return list[len(list)-1] }
		if q := last("often"); q.bash != inline || q.powershell != "" || q.timeout != time.Minute {
			t.Errorf("with its own script it was asked %+v", q)
		}
		w.ends(w.health(ids["link"]), store.TaskSuccess)
		if q := last("link"); q.bash != "" || q.powershell != "" {
			t.Errorf("where the link is enough it was asked %+v", q)
		}
		if q := last("hourly"); !strings.Contains(q.bash, "df -Pk") || !strings.Contains(q.powershell, "Get-PSDrive") {
			t.Errorf("with the scripts of the server it was asked %+v", q)
		}
		described := false
		for _, task := range w.tasks("Health") {
			described = described || task.Description == "Check health of 1 machine of often" && task.CreatedBy == "system"
		}
		if !described {
			t.Error("no task says which policy it is for")
		}
	})
}

// A policy that becomes stricter counts from now on, not after the interval it
// had.
func TestAStricterPolicyCountsAtOnce(t *testing.T) {
	story(t, func(w *world) {
		id := w.machines(1)[0]
		w.pass(2 * sweep)
		before := len(w.prober.of(id))
		w.write(func(tx *store.Tx) error {
			policy, err := store.Get[resource.MachinePolicy](tx, "MachinePolicies-1")
			if err != nil {
				return err
			}
			span := resource.TimeSpan(time.Minute)
			policy.MachineHealthCheckPolicy.HealthCheckInterval = &span
			return store.Update(tx, policy)
		})
		w.pass(3 * time.Minute)
		if n := len(w.prober.of(id)) - before; n < 2 {
			t.Errorf("in three minutes it was asked %d times", n)
		}
	})
}

// A machine's link is opened and lost: its health follows, without a look by
// the clock in between. One that is back at once is not called lost.
func TestHealthFollowsTheLink(t *testing.T) {
	story(t, func(w *world) {
		id := w.register("web", "web")
		w.isWithin(soon, id, resource.HealthUnavailable, "not connected")
		w.connect(id)
		w.isWithin(soon, id, resource.Healthy)
		w.disconnect(id)
		w.pass(time.Second)
		w.connect(id) // an agent that was started anew
		w.isWithin(soon, id, resource.Healthy)
		w.disconnect(id)
		w.isWithin(6*time.Second, id, resource.HealthUnavailable, "not connected")
		w.quiet()
		asked := len(w.prober.of(id))
		w.pass(30 * time.Second)
		if n := len(w.prober.of(id)) - asked; n != 0 {
			t.Errorf("a machine that stays away is asked %d times in 30 s", n)
		}
		if len(w.events(resource.EventMachineUnavailable)) != 2 || len(w.events(resource.EventMachineHealthy)) != 1 {
			t.Errorf("events: %q %q", w.events(resource.EventMachineUnavailable), w.events(resource.EventMachineHealthy))
		}
	})
}

// A check that found no link, and is stored after the link has opened and the
// check that it causes has begun, does not make the machine Unavailable.
func TestAnAnswerFromBeforeTheLink(t *testing.T) {
	story(t, func(w *world) {
		id := w.machine("web", "web")
		w.isWithin(soon, id, resource.Healthy)
		w.quiet()
		w.disconnect(id)
		first, second := make(chan struct{}), make(chan struct{})
		var asked atomic.Int32
		w.prober.set(id, func(context.Context) (fleet.Probed, error) {
			if asked.Add(1) == 1 {
				<-first
				return fleet.Probed{}, resource.Errorf(resource.Unavailable, "not connected")
			}
			<-second
			return fleet.Probed{}, nil
		})
		task := w.health(id)
		w.within(soon, "the machine is asked", func(*store.Tx) (bool, error) { return asked.Load() == 1, nil })
		w.connect(id)
		close(first)
		w.ends(task, store.TaskSuccess)
		if m := w.get(id); m.HealthStatus != resource.Healthy {
			t.Errorf("%s: %s", m.HealthStatus, m.StatusSummary)
		}
		close(second)
		w.isWithin(soon, id, resource.Healthy)
		w.quiet()
	})
}

// Many machines that come at once are one check, not one each; workers have no
// health.
func TestMachinesThatComeTogetherAreCheckedTogether(t *testing.T) {
	story(t, func(w *world) {
		ids := w.machines(30)
		before := len(w.tasks("Health"))
		w.write(func(tx *store.Tx) error {
			worker := &resource.Worker{WorkerPoolIDs: []string{"WorkerPools-1"}}
			worker.SpaceID, worker.Name, worker.MachinePolicyID = space, "worker", "MachinePolicies-1"
			worker.Endpoint = resource.PollingEndpoint("poll://worker/", strings.Repeat("B", 64))
			err := errors.Join(store.Insert(tx, worker), store.LoseSessions(tx, "the server restarted"))
			for _, id := range append(ids, worker.ID) {
				err = errors.Join(err, store.OpenSession(tx, &store.Session{Machine: id, Node: "node-1", State: store.SessionConnected}))
			}
			return err
		})
		w.pass(soon)
		w.quiet()
		if tasks := w.tasks("Health")[before:]; len(tasks) != 1 || tasks[0].Description != "Check health of 30 machines, whose link changed" {
			t.Errorf("tasks: %+v", tasks)
		}
	})
}

// What a script says is kept up to a bound.
func TestAScriptThatSaysTooMuch(t *testing.T) {
	story(t, func(w *world) {
		id := w.machines(1)[0]
		var log strings.Builder
		for i := range 5000 {
			fmt.Fprintf(&log, "%d\tInfo\tline %d\n", i, i)
		}
		w.prober.set(id, says(fleet.Probed{Log: []byte(log.String())}, nil))
		notes := w.notes(w.ends(w.health(id), store.TaskSuccess).ID)
		if n := strings.Count(notes, "\n"); n != 201 || !strings.Contains(notes, "line 199\n") || !strings.Contains(notes, "the rest is left out") {
			t.Errorf("%d lines are kept, at the end %q", n, notes[len(notes)-200:])
		}
	})
}
