package fleet_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/fleet"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/steps"
	"github.com/slipwayhq/slipway/internal/store"
)

// shipped is a fleet of n machines that run a release.
func (w *world) shipped(n int) (ids []string, release *resource.Release) {
	w.t.Helper()
	ids = w.machines(n)
	release, task := w.ship(w.project)
	w.ends(task, store.TaskSuccess)
	w.quiet()
	return ids, release
}

// caughtUp waits until the machine is healthy and demands that it was proved
// to run the release.
func (w *world) caughtUp(d time.Duration, id string, release *resource.Release) {
	w.t.Helper()
	w.isWithin(d, id, resource.Healthy)
	if got := w.runs(id, w.project); got != release.ID {
		w.t.Errorf("%s is healthy and runs %q, want %s", id, got, release.ID)
	}
	if owed := w.owed(id); len(owed) != 0 {
		w.t.Errorf("%s is healthy and owed %+v", id, owed)
	}
}

// neverHealthyInDebt watches that no machine is healthy while it is owed
// something, from now to the end of the story.
func (w *world) neverHealthyInDebt() {
	w.run("watch", func(ctx context.Context) error {
		wake, stop := w.db.Watch(resource.MachineKind.Name)
		defer stop()
		for {
			err := w.db.Read(ctx, func(tx *store.Tx) error {
				machines, _, err := store.List[resource.Machine](tx, store.Query{AllSpaces: true})
				for i := range machines {
					m := &machines[i]
					owed, err := store.OwedTo(tx, m.ID)
					if err != nil {
						return err
					}
					if len(owed) > 0 && (m.HealthStatus == resource.Healthy || m.HealthStatus == resource.HealthWarnings) {
						w.t.Errorf("%s is %s and owed %+v", m.Name, m.HealthStatus, owed)
					}
				}
				return err
			})
			if err != nil && ctx.Err() == nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-wake:
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	w.t.Cleanup(func() { w.stop("watch") })
}

// A machine that is new in an environment and role gets the release that last
// succeeded there, in a task that people see, before it counts as healthy; and
// at once: its check came before its link, and nothing waits for a clock.
func TestANewcomerGetsTheRelease(t *testing.T) {
	story(t, func(w *world) {
		w.neverHealthyInDebt()
		_, release := w.shipped(2)
		id := w.register("new", "web")
		w.isWithin(soon, id, resource.HealthUnavailable)
		finish := w.hold(id)
		w.connect(id)
		w.isWithin(soon, id, resource.HealthUnknown, "Waits for the current release of 1 project")
		finish()
		w.caughtUp(soon, id, release)
		list := w.catchUps()
		if len(list) != 1 || list[0].State != store.TaskSuccess || list[0].CreatedBy != "system" || list[0].DeploymentID == "" {
			t.Errorf("catch-ups: %+v", list)
		}
		if w.wants(w.project) != release.ID {
			t.Error("a catch-up changed what is desired")
		}
	})
}

// Health scripts that look for the application fail on a machine that does not
// have it yet: that is no reason to call it unhealthy before it has.
func TestANewcomerThatLooksUnwellFirst(t *testing.T) {
	story(t, func(w *world) {
		_, release := w.shipped(1)
		id := w.register("new", "web")
		w.prober.set(id, says(fleet.Probed{ExitCode: 1}, nil))
		finish := w.hold(id)
		w.connect(id)
		w.isWithin(soon, id, resource.HealthUnknown)
		w.pass(time.Minute)
		w.is(id, resource.HealthUnknown)
		w.prober.set(id, says(fleet.Probed{}, nil))
		finish()
		w.caughtUp(soon, id, release)
	})
}

// Where nothing is desired, and where no step concerns the machine, it is
// healthy at once and says that it has no release.
func TestNothingToCatchUpWith(t *testing.T) {
	story(t, func(w *world) {
		id := w.machine("early", "web")
		w.isWithin(soon, id, resource.Healthy, "No release had been deployed to it")
		w.quiet()
		_, task := w.ship(w.project)
		w.ends(task, store.TaskSuccess)
		other := w.machine("db", "database")
		w.isWithin(soon, other, resource.Healthy, "No release had been deployed to it")
		w.quiet()
		if list := w.catchUps(); len(list) != 0 {
			t.Errorf("catch-ups: %+v", list)
		}
		if owed := w.owed(other); len(owed) != 0 {
			t.Errorf("owed: %+v", owed)
		}
	})
}

// A machine of several projects gets the release of each; one that fails is
// named, with its task.
func TestEveryProjectsRelease(t *testing.T) {
	story(t, func(w *world) {
		second := w.newProject("Backend")
		ids, release := w.shipped(1)
		back, task := w.ship(second)
		w.ends(task, store.TaskSuccess)
		w.ends(w.health(ids...), store.TaskSuccess)
		id := w.register("new", "web")
		w.agents.tell(id, func(attempt string) rollout.Outcome {
			if w.task(taskOf(attempt)).ProjectID == second.ID {
				return rollout.OutcomeFailed
			}
			return rollout.OutcomeSucceeded
		})
		w.connect(id)
		w.isWithin(soon, id, resource.Unhealthy, "The current release of Backend could not be deployed here: ", "See ServerTasks-")
		w.quiet()
		if got := w.runs(id, w.project); got != release.ID {
			t.Errorf("of the project that went well it runs %q", got)
		}
		w.agents.tell(id, nil)
		w.write(func(tx *store.Tx) error { return fleet.Retry(tx, []string{id}) })
		w.ends(w.health(id), store.TaskSuccess)
		w.caughtUp(10*time.Second, id, release)
		if got := w.runs(id, second); got != back.ID {
			t.Errorf("after another try it runs %q, want %s", got, back.ID)
		}
	})
}

// A machine that comes while a release is rolled out waits for the end, and
// gets what is desired then: the new release, or the one before where the
// rollout failed.
func TestANewcomerDuringARollout(t *testing.T) {
	for _, outcome := range []rollout.Outcome{rollout.OutcomeSucceeded, rollout.OutcomeFailed} {
		t.Run(string(outcome), func(t *testing.T) {
			story(t, func(w *world) {
				w.neverHealthyInDebt()
				ids, before := w.shipped(1)
				w.hold(ids[0])
				next, task := w.ship(w.project)
				w.within(soon, "the rollout runs", func(tx *store.Tx) (bool, error) { return len(w.agents.started(ids[0])) == 2, nil })
				id := w.machine("new", "web")
				w.pass(time.Minute)
				if w.is(id, resource.HealthUnknown); len(w.catchUps()) != 0 {
					t.Fatal("it was caught up during the rollout")
				}
				attempt := w.agents.started(ids[0])[1]
				w.write(func(tx *store.Tx) error { return end(tx, attempt, outcome) })
				want := next
				if outcome == rollout.OutcomeSucceeded {
					w.ends(task, store.TaskSuccess)
				} else {
					w.ends(task, store.TaskFailed)
					want = before
				}
				w.caughtUp(soon, id, want)
			})
		})
	}
}

// A catch-up that is overtaken by a newer release is not run with the old one.
func TestAnOvertakenCatchUp(t *testing.T) {
	story(t, func(w *world) {
		ids, _ := w.shipped(1)
		w.stop("engine")
		id := w.machine("new", "web")
		w.within(soon, "a catch-up is queued", func(tx *store.Tx) (bool, error) {
			_, n, err := store.ListTasks(tx, store.TaskQuery{Name: string(rollout.CatchUp)})
			return n == 1, err
		})
		// A newer release of greater urgency goes first.
		release := w.release(w.project)
		made, err := w.deploys.CreateDeployments(context.Background(), w.who, space, deploy.NewDeployment{
			Project: w.project.ID, Release: release.ID, Environments: []string{w.env.ID}, Priority: "High",
		})
		check(t, err)
		w.agents.tell(id, func(attempt string) rollout.Outcome {
			if w.kind(attempt) == rollout.Deploy {
				return rollout.OutcomeNone // it does not answer
			}
			return rollout.OutcomeSucceeded
		})
		w.startEngine() // which writes the sessions off
		w.within(soon, "the sessions are lost", func(tx *store.Tx) (bool, error) {
			session, err := store.GetSession(tx, id)
			return err == nil && session.State == store.SessionLost, err
		})
		w.connect(ids[0])
		w.connect(id)
		w.ends(made[0].TaskID, store.TaskFailed)
		w.caughtUp(10*time.Second, id, release)
		if list := w.catchUps(); len(list) != 2 || list[0].State != store.TaskCanceled || !strings.Contains(list[0].Error, "newer release") || list[1].State != store.TaskSuccess {
			t.Errorf("catch-ups: %+v", list)
		}
		if got := w.runs(ids[0], w.project); got != release.ID {
			t.Errorf("the other machine runs %q", got)
		}
	})
}

// A catch-up that fails leaves its reason, and the machine unhealthy, until a
// person asks again, or a newer release arrives.
func TestAFailedCatchUp(t *testing.T) {
	story(t, func(w *world) {
		w.neverHealthyInDebt()
		_, first := w.shipped(1)
		id := w.register("new", "web")
		w.agents.tell(id, failing)
		w.connect(id)
		w.isWithin(soon, id, resource.Unhealthy, "The current release of Shop could not be deployed here: The rollout failed", "See ServerTasks-")
		w.ends(w.health(id), store.TaskSuccess)
		w.pass(10 * time.Minute) // checks neither heal it nor try again
		if m := w.get(id); m.HealthStatus != resource.Unhealthy || len(w.catchUps()) != 1 || len(w.agents.started(id)) != 1 {
			t.Errorf("it is %s after %d catch-ups", m.HealthStatus, len(w.catchUps()))
		}
		w.write(func(tx *store.Tx) error { return fleet.Retry(tx, []string{id, "Machines-99"}) })
		w.health(id)
		w.within(soon, "another catch-up failed", func(*store.Tx) (bool, error) { return len(w.agents.started(id)) == 2, nil })
		w.quiet()

		release, task := w.ship(w.project)
		w.ends(task, store.TaskFailed) // with this machine in it
		if w.get(id).HealthStatus != resource.Unhealthy || w.wants(w.project) != first.ID {
			t.Errorf("after a failed release it is %s and %s is desired", w.get(id).HealthStatus, w.wants(w.project))
		}
		w.agents.tell(id, nil)
		w.ends(w.deploy(w.project, release), store.TaskSuccess)
		w.caughtUp(soon, id, release)
	})
}

// Machines that come together are one task. One that fails there does not keep
// the others from the release (pain 5 of fleets.md).
func TestOneBadMachineOfSeveral(t *testing.T) {
	story(t, func(w *world) {
		w.process(w.project, step("First", "web"), step("Second", "web"))
		_, release := w.shipped(1)
		w.stop("fleet")
		var ids []string
		for _, name := range []string{"a", "b", "c"} {
			ids = append(ids, w.machine(name, "web"))
		}
		w.agents.tell(ids[1], failing)
		w.startFleet()
		w.caughtUp(10*time.Second, ids[0], release)
		w.caughtUp(10*time.Second, ids[2], release)
		w.is(ids[1], resource.Unhealthy, "could not be deployed")
		w.pass(10 * time.Minute)
		list := w.catchUps()
		if len(list) != 2 || list[0].State != store.TaskFailed || list[1].State != store.TaskSuccess {
			t.Errorf("catch-ups: %+v", list)
		}
		if n := len(w.agents.started(ids[1])); n != 1 {
			t.Errorf("the bad one was tried %d times", n)
		}
	})
}

// Who went through all its steps in a catch-up that failed on another is not
// worked on again.
func TestTheGoodOnesAreNotRepeated(t *testing.T) {
	story(t, func(w *world) {
		_, release := w.shipped(1)
		w.stop("fleet")
		good, bad := w.machine("good", "web"), w.machine("bad", "web")
		w.agents.tell(bad, failing)
		w.startFleet()
		w.caughtUp(10*time.Second, good, release)
		w.is(bad, resource.Unhealthy)
		w.quiet()
		if len(w.catchUps()) != 1 || len(w.agents.started(good)) != 1 {
			t.Errorf("%d catch-ups, the good one was started %d times", len(w.catchUps()), len(w.agents.started(good)))
		}
	})
}

// A catch-up that fails without the fault of a machine is not tried for ever.
func TestACatchUpThatFailsByItself(t *testing.T) {
	story(t, func(w *world) {
		_, _ = w.shipped(1)
		conditional := step("Conditional", "web")
		conditional.Condition, conditional.Properties[steps.ConditionExpression] = "Variable", resource.Text("#{if broken")
		w.process(w.project, step("Install", "web"), conditional)
		release := w.release(w.project)
		w.write(func(tx *store.Tx) error { // as if it had succeeded before the variable was changed
			return store.SetDesired(tx, &store.Desired{SpaceID: space, ProjectID: w.project.ID, EnvironmentID: w.env.ID, ReleaseID: release.ID})
		})
		id := w.machine("new", "web")
		w.isWithin(soon, id, resource.Unhealthy, "could not be deployed")
		w.pass(10 * time.Minute)
		if n := len(w.catchUps()); n != 1 {
			t.Errorf("%d catch-ups", n)
		}
	})
}

// A machine that is away when it is registered, or switched off, is caught up
// when it is there.
func TestAwayOrSwitchedOff(t *testing.T) {
	story(t, func(w *world) {
		_, release := w.shipped(1)
		away, off := w.register("away", "web"), w.machine("off", "web")
		w.change(off, func(m *resource.Machine) { m.IsDisabled = true })
		w.quiet()
		starts := len(w.agents.started(off))
		again := w.ship2(release)
		w.ends(again, store.TaskFailed) // the one that is away
		w.pass(10 * time.Minute)
		w.is(away, resource.HealthUnavailable)
		if n := len(w.agents.started(off)) - starts; n != 0 {
			t.Errorf("a machine that is switched off was started %d times", n)
		}
		w.connect(away)
		w.caughtUp(soon, away, release)
		release, task := w.ship(w.project)
		w.ends(task, store.TaskSuccess)
		w.quiet()
		w.change(off, func(m *resource.Machine) { m.IsDisabled = false })
		w.caughtUp(soon, off, release)
	})
}

// ship2 deploys a release that was deployed before.
func (w *world) ship2(release *resource.Release) string {
	w.t.Helper()
	return w.deploy(w.project, release)
}

// A machine that does not answer during a rollout is listed as not deployed,
// the others go on and have the release, and it gets it before it counts as
// healthy again; also where the project skips such machines.
func TestAMachineThatMissedARollout(t *testing.T) {
	for _, skip := range []bool{false, true} {
		t.Run(map[bool]string{false: "failed", true: "skipped"}[skip], func(t *testing.T) {
			story(t, func(w *world) {
				w.neverHealthyInDebt()
				ids, old := w.shipped(3)
				if skip {
					w.project.ProjectConnectivityPolicy.SkipMachineBehavior = resource.SkipUnavailable
					w.write(func(tx *store.Tx) error { return store.Update(tx, w.project) })
				}
				w.disconnect(ids[0])
				w.is(ids[0], resource.HealthUnavailable)
				w.agents.tell(ids[1], func(attempt string) rollout.Outcome { // connected, and deaf until it is asked again
					if w.kind(attempt) == rollout.CatchUp {
						return rollout.OutcomeSucceeded
					}
					return rollout.OutcomeNone
				})
				release, task := w.ship(w.project)
				began := time.Now()
				if skip {
					if ended := w.ends(task, store.TaskSuccess); !ended.HasWarnings {
						t.Error("no warning")
					}
				} else {
					w.ends(task, store.TaskFailed)
				}
				if took := time.Since(began); took > 3*time.Minute {
					t.Errorf("it took %s", took)
				}
				if w.wants(w.project) != release.ID || w.runs(ids[2], w.project) != release.ID || w.runs(ids[0], w.project) != old.ID {
					t.Errorf("they run %q and %q, desired is %q", w.runs(ids[0], w.project), w.runs(ids[2], w.project), w.wants(w.project))
				}
				for i, m := range w.members(task) {
					if want := []rollout.MemberState{rollout.MemberNotDeployed, rollout.MemberNotDeployed, rollout.MemberLive}[i]; m.State != want {
						t.Errorf("%s is %s, want %s", m.Name, m.State, want)
					}
				}
				w.caughtUp(soon, ids[1], release)
				w.connect(ids[0])
				w.caughtUp(soon, ids[0], release)
			})
		})
	}
}

// A machine whose link is lost in its catch-up is tried again when it is back,
// and not before: a deaf one that stays connected is not tried for ever.
func TestLostInTheCatchUp(t *testing.T) {
	story(t, func(w *world) {
		_, release := w.shipped(1)
		id := w.register("new", "web")
		w.agents.tell(id, silent)
		w.connect(id)
		w.within(time.Second, "it is started", func(*store.Tx) (bool, error) { return len(w.agents.started(id)) == 1, nil })
		w.isWithin(3*time.Minute, id, resource.Unhealthy, "did not answer")
		w.pass(10 * time.Minute)
		if n := len(w.catchUps()); n != 1 {
			t.Errorf("a deaf machine was caught up %d times", n)
		}
		w.agents.tell(id, nil)
		w.disconnect(id)
		w.connect(id)
		w.caughtUp(soon, id, release)
	})
}

// Steps that run on the server or once per release have run: a catch-up leaves
// them out.
func TestRunOnceAndServerStepsAreNotRepeated(t *testing.T) {
	story(t, func(w *world) {
		w.process(w.project, step("Once", "web", steps.RunOnce), step("Each", "web"))
		ids, release := w.shipped(2)
		if n := len(w.agents.started(ids[0])) + len(w.agents.started(ids[1])); n != 3 {
			t.Fatalf("the rollout started %d attempts", n)
		}
		id := w.machine("new", "web")
		w.caughtUp(soon, id, release)
		if starts := w.agents.started(id); len(starts) != 1 || !strings.Contains(starts[0], ".1.0.") {
			t.Errorf("started on the newcomer: %v", starts)
		}
		w.process(w.project, step("Server", ""), step("Each", "web"))
		worker := w.worker()
		release, task := w.ship(w.project)
		w.ends(task, store.TaskSuccess)
		late := w.machine("late", "web")
		w.caughtUp(soon, late, release)
		if n := len(w.agents.started(worker)); n != 1 {
			t.Errorf("the server's step ran %d times", n)
		}
	})
}

// worker adds the built-in worker.
func (w *world) worker() string {
	w.t.Helper()
	worker := &resource.Worker{WorkerPoolIDs: []string{"WorkerPools-1"}}
	worker.SpaceID, worker.Name, worker.MachinePolicyID = space, "worker", "MachinePolicies-1"
	worker.Endpoint = resource.PollingEndpoint("poll://worker/", strings.Repeat("B", 64))
	w.write(func(tx *store.Tx) error { return store.Insert(tx, worker) })
	w.connect(worker.ID)
	return worker.ID
}

// A rollout that reached no machine changes nothing, also where a step of the
// server went well (P1).
func TestNoMachineAnsweredButTheWorker(t *testing.T) {
	story(t, func(w *world) {
		w.process(w.project, step("Server", ""), step("Each", "web"))
		w.worker()
		ids, release := w.shipped(1)
		w.disconnect(ids[0])
		_, task := w.ship(w.project)
		w.ends(task, store.TaskFailed)
		if got := w.wants(w.project); got != release.ID {
			t.Errorf("desired is %s, want %s", got, release.ID)
		}
	})
}

// A release that cannot be planned says so, leaves nothing half done, and is
// not tried in a loop.
func TestACatchUpThatCannotBePlanned(t *testing.T) {
	story(t, func(w *world) {
		_, _ = w.shipped(1)
		w.write(func(tx *store.Tx) error { // a type of step that a later version might know
			release, err := store.Get[resource.Release](tx, w.wants(w.project))
			if err != nil {
				return err
			}
			process, err := store.Get[resource.DeploymentProcess](tx, release.ProjectDeploymentProcessSnapshotID)
			if err != nil {
				return err
			}
			process.Steps[0].Actions[0].ActionType = "Octopus.Unheard"
			return store.Update(tx, process)
		})
		id := w.machine("new", "web")
		w.isWithin(soon, id, resource.Unhealthy, "could not be deployed here", "Octopus.Unheard")
		if text := w.get(id).StatusSummary; strings.Contains(text, "See") {
			t.Errorf("it points at a task that is not there: %s", text)
		}
		w.pass(10 * time.Minute)
		w.read(func(tx *store.Tx) error {
			deployments, _, err := store.List[resource.Deployment](tx, store.Query{AllSpaces: true})
			if len(deployments) != 1 || len(w.catchUps()) != 0 {
				t.Errorf("%d deployments, catch-ups: %+v", len(deployments), w.catchUps())
			}
			return err
		})
	})
}

// A deployment to chosen machines does not change what the others should run,
// and pays no debt with another release.
func TestALimitedDeployment(t *testing.T) {
	story(t, func(w *world) {
		ids, release := w.shipped(2)
		other, task := w.ship(w.project, ids[0])
		w.ends(task, store.TaskSuccess)
		if w.wants(w.project) != release.ID || w.runs(ids[0], w.project) != other.ID || w.runs(ids[1], w.project) != release.ID {
			t.Errorf("desired %s, they run %s and %s", w.wants(w.project), w.runs(ids[0], w.project), w.runs(ids[1], w.project))
		}
		id := w.register("new", "web")
		w.agents.tell(id, failing)
		w.connect(id)
		w.is(id, resource.Unhealthy)
		w.quiet()
		w.agents.tell(id, nil)
		w.ends(w.deploy(w.project, other, id), store.TaskSuccess)
		w.ends(w.health(id), store.TaskSuccess)
		w.is(id, resource.Unhealthy, "could not be deployed here")
		w.ends(w.deploy(w.project, release, id), store.TaskSuccess)
		w.caughtUp(soon, id, release)
	})
}

// A machine that leaves an environment owes it nothing any more; one that is
// put into another owes that one's releases, and repeats nothing.
func TestAnotherEnvironment(t *testing.T) {
	story(t, func(w *world) {
		_, release := w.shipped(1)
		staging := &resource.Environment{Name: "Staging"}
		staging.SpaceID = space
		w.write(func(tx *store.Tx) error { return store.Insert(tx, staging) })
		id := w.register("new", "web")
		w.agents.tell(id, failing)
		w.connect(id)
		w.is(id, resource.Unhealthy)
		w.change(id, func(m *resource.Machine) { m.EnvironmentIDs = []string{staging.ID} })
		w.isWithin(soon, id, resource.Healthy, "No release had")
		w.agents.tell(id, nil)
		w.change(id, func(m *resource.Machine) { m.EnvironmentIDs = []string{staging.ID, w.env.ID} })
		w.caughtUp(soon, id, release)
		starts := len(w.agents.started(id))
		w.change(id, func(m *resource.Machine) { m.EnvironmentIDs = []string{w.env.ID} })
		w.pass(time.Minute)
		w.caughtUp(soon, id, release)
		if n := len(w.agents.started(id)) - starts; n != 0 {
			t.Errorf("what it runs was repeated %d times", n)
		}
	})
}

// Another machine that takes over a name is unproved and unchecked from the
// moment of its registration: who waits for its health must not be shown the
// old one's.
func TestAReplacedMachine(t *testing.T) {
	story(t, func(w *world) {
		w.neverHealthyInDebt()
		ids, release := w.shipped(1)
		w.change(ids[0], func(m *resource.Machine) { m.Endpoint.Thumbprint = strings.Repeat("C", 64); m.Thumbprint = "" })
		if m := w.get(ids[0]); m.HealthStatus != resource.HealthUnknown || m.Status != resource.StatusUnknown {
			t.Errorf("right after, it is %s (%s): %s", m.HealthStatus, m.Status, m.StatusSummary)
		}
		w.disconnect(ids[0])
		w.is(ids[0], resource.HealthUnavailable)
		w.connect(ids[0])
		w.caughtUp(soon, ids[0], release)
		if n := len(w.agents.started(ids[0])); n != 2 {
			t.Errorf("started %d times", n)
		}
	})
}

// A machine that is replaced, or gets another role, while a rollout works on it
// has proved nothing by the end of it (P1, fault 36).
func TestReplacedDuringARollout(t *testing.T) {
	for _, first := range []bool{true, false} {
		t.Run(map[bool]string{true: "the first release", false: "a later one"}[first], func(t *testing.T) {
			story(t, func(w *world) {
				w.neverHealthyInDebt()
				w.process(w.project, step("First", "web"), step("Second", "web"))
				var ids []string
				if first {
					ids = w.machines(2)
				} else {
					ids, _ = w.shipped(2)
				}
				done := len(w.agents.started(ids[0]))
				finish := w.hold(ids[1])
				release, task := w.ship(w.project)
				w.within(soon, "the first step ran", func(*store.Tx) (bool, error) { return len(w.agents.started(ids[0])) == done+1, nil })
				w.change(ids[0], func(m *resource.Machine) { m.Endpoint.Thumbprint = strings.Repeat("C", 64); m.Thumbprint = "" })
				w.pass(time.Minute)
				finish()
				w.ends(task, store.TaskSuccess)
				w.caughtUp(soon, ids[0], release)
				if n := len(w.agents.started(ids[0])) - done; n != 4 {
					t.Errorf("%d attempts on the machine, want both steps once more: %v", n, w.agents.started(ids[0]))
				}
				w.caughtUp(soon, ids[1], release)
			})
		})
	}
}

// A person who cancels a catch-up decides: it is not tried again by itself.
func TestACanceledCatchUp(t *testing.T) {
	story(t, func(w *world) {
		_, release := w.shipped(1)
		id := w.register("new", "web")
		w.hold(id)
		w.connect(id)
		w.within(soon, "it runs", func(*store.Tx) (bool, error) { return len(w.agents.started(id)) == 1, nil })
		w.write(func(tx *store.Tx) error { return store.CancelTask(tx, w.catchUps()[0].ID, "ann") })
		w.isWithin(soon, id, resource.Unhealthy, "Canceled by ann")
		w.pass(10 * time.Minute)
		if n := len(w.catchUps()); n != 1 {
			t.Errorf("%d catch-ups", n)
		}
		w.agents.tell(id, nil)
		w.write(func(tx *store.Tx) error { return fleet.Retry(tx, []string{id}) })
		w.health(id)
		w.caughtUp(10*time.Second, id, release)
	})
}

// A machine that is deleted while it is owed something, or caught up, is gone
// from all of it.
func TestDeletedInDebt(t *testing.T) {
	story(t, func(w *world) {
		_, _ = w.shipped(1)
		away, here := w.register("away", "web"), w.register("here", "web")
		w.hold(here)
		w.connect(here)
		w.within(soon, "it runs", func(*store.Tx) (bool, error) { return len(w.agents.started(here)) == 1, nil })
		for _, id := range []string{away, here} {
			check(t, w.docs.Delete(context.Background(), w.who, resource.MachineKind, space, id))
		}
		w.quiet()
		w.read(func(tx *store.Tx) error {
			owed, err := store.OwedAll(tx)
			if len(owed) != 0 {
				t.Errorf("owed: %+v", owed)
			}
			return err
		})
		view := w.members(w.catchUps()[0].ID)
		if len(view) != 1 || view[0].State != rollout.MemberSuperseded {
			t.Errorf("members: %+v", view)
		}
	})
}

func taskOf(attempt string) string { id, _, _ := strings.Cut(attempt, "."); return id }

func (w *world) kind(attempt string) rollout.Kind { return rollout.Kind(w.task(taskOf(attempt)).Name) }

func (w *world) members(task string) (list []rollout.Member) {
	w.t.Helper()
	w.read(func(tx *store.Tx) (err error) {
		list, err = store.MembersOf(tx, task)
		return err
	})
	return list
}

// A server that stops in the middle of it all goes on where it was.
func TestCatchUpsSurviveARestart(t *testing.T) {
	story(t, func(w *world) {
		_, release := w.shipped(1)
		id := w.register("new", "web")
		finish := w.hold(id)
		w.connect(id)
		w.within(soon, "it runs", func(*store.Tx) (bool, error) { return len(w.agents.started(id)) == 1, nil })
		w.stop("fleet")
		w.stop("engine")
		finish()
		w.startEngine() // which writes the sessions off
		w.startFleet()
		w.quiet()
		if slices.ContainsFunc(w.get(id).EnvironmentIDs, func(string) bool { return w.get(id).HealthStatus == resource.Healthy }) {
			t.Error("healthy without a link")
		}
		w.connect(id)
		w.caughtUp(soon, id, release)
		if n := len(w.agents.started(id)); n != 1 {
			t.Errorf("started %d times", n)
		}
	})
}
