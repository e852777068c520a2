package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/blob"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

// Artifacts reads the files that scripts handed in (octopus-api.md 2.22).
type Artifacts struct {
	db    *store.DB
	bytes blob.Store
}

// NewArtifacts makes the use cases.
func NewArtifacts(db *store.DB, bytes blob.Store) *Artifacts { return &Artifacts{db: db, bytes: bytes} }

// Artifact is a file that a script handed in.
type Artifact struct {
	// ID is a function of the attempt and the file's place in it, so that it
	// needs no counter and is never given to another file.
	ID       string
	SpaceID  string
	TaskID   string
	Filename string // as the script called it: data, never a path (abuse 54)
	Size     int64
	SHA256   string
	// Created is when the attempt ended, in unix milliseconds.
	Created int64
	// MachineID and Machine are the member whose step handed it in, Activity the
	// id of that step on it in the task's tree.
	MachineID, Machine, Activity string

	attempt string
}

// ArtifactQuery narrows a list of artifacts; empty fields match all.
type ArtifactQuery struct {
	// Regarding is the id of a task, deployment, release, project, environment
	// or machine; any other id matches nothing.
	Regarding   string
	IDs         []string
	PartialName string
	Skip, Take  int // Take 0: all
}

const artifactPrefix = "Artifacts-"

// List reads the artifacts of a space that match and that the caller may see,
// those of the latest task first.
func (s *Artifacts) List(ctx context.Context, who app.Caller, space string, q ArtifactQuery) (list []Artifact, total int, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		all, err := matching(tx, who, space, q)
		if err != nil {
			return err
		}
		total = len(all)
		list = all[min(q.Skip, total):]
		if q.Take > 0 {
			list = list[:min(q.Take, len(list))]
		}
		return complete(tx, list)
	})
	return list, total, err
}

// Get reads one artifact. One that the caller may not see is missing.
func (s *Artifacts) Get(ctx context.Context, who app.Caller, space, id string) (found *Artifact, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		list, err := find(tx, who, space, id)
		if err != nil {
			return err
		}
		found = &list[0]
		return complete(tx, list)
	})
	return found, err
}

// find is the one artifact with the id, without what complete adds.
func find(tx *store.Tx, who app.Caller, space, id string) ([]Artifact, error) {
	list, err := matching(tx, who, space, ArtifactQuery{IDs: []string{id}})
	if err == nil && len(list) == 0 {
		err = resource.Missing(id)
	}
	return list, err
}

// Open reads an artifact's bytes; the caller closes them. Who made it and when
// is left out of what is said about it.
func (s *Artifacts) Open(ctx context.Context, who app.Caller, space, id string) (a *Artifact, file blob.Reader, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		list, err := find(tx, who, space, id)
		if err == nil {
			a = &list[0]
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	file, err = s.bytes.Open(ctx, a.SHA256)
	if errors.Is(err, blob.ErrNotFound) {
		return nil, nil, &resource.Error{
			Code: resource.Unavailable, Err: err,
			Message: fmt.Sprintf("The bytes of artifact %s are missing from the server's store. Deploy again to make it anew.", a.ID),
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open artifact %s: %w", a.ID, err)
	}
	return a, file, nil
}

// matching are the artifacts of the tasks that the query and the caller's
// rights leave, the latest task's first, without what complete adds.
func matching(tx *store.Tx, who app.Caller, space string, q ArtifactQuery) ([]Artifact, error) {
	tasks, machine, err := tasksRegarding(tx, space, q)
	if err != nil {
		return nil, err
	}
	var all []Artifact
	for i := range tasks {
		task := &tasks[i]
		if task.StartTime == 0 || !authz.Can(who.Subject, authz.ArtifactView, taskScope(task)) {
			continue
		}
		found, err := artifactsOf(tx, task)
		if err != nil {
			return nil, err
		}
		for _, a := range found {
			if q.matches(&a) && (machine == "" || a.MachineID == machine) {
				all = append(all, a)
			}
		}
	}
	return all, nil
}

func (q ArtifactQuery) matches(a *Artifact) bool {
	return (q.IDs == nil || slices.Contains(q.IDs, a.ID)) && strings.Contains(resource.Fold(a.Filename), resource.Fold(q.PartialName))
}

// tasksRegarding are the tasks whose artifacts a query can mean, and the
// machine that it is about where it names one.
func tasksRegarding(tx *store.Tx, space string, q ArtifactQuery) (tasks []store.Task, machine string, err error) {
	query := store.TaskQuery{Spaces: []string{space}, IDs: tasksOfIDs(q.IDs)}
	kind, _, _ := strings.Cut(q.Regarding, "-")
	switch kind {
	case "":
	case "ServerTasks":
		query.IDs = both(query.IDs, q.Regarding)
	case "Deployments":
		query.DeploymentIDs = []string{q.Regarding}
	case "Releases":
		query.DeploymentIDs, err = deploymentsOfRelease(tx, space, q.Regarding)
	case "Projects":
		query.ProjectID = q.Regarding
	case "Environments":
		query.EnvironmentID = q.Regarding
	case "Machines":
		machine = q.Regarding
	default:
		query.IDs = []string{}
	}
	if err != nil {
		return nil, "", err
	}
	tasks, err = allTasks(tx, query)
	return tasks, machine, err
}

// tasksOfIDs are the tasks that artifacts with these ids belong to; nil for a
// nil list.
func tasksOfIDs(ids []string) []string {
	if ids == nil {
		return nil
	}
	tasks := []string{}
	for _, id := range ids {
		if attempt, ok := strings.CutPrefix(id, artifactPrefix); ok {
			task, _, _ := strings.Cut(attempt, ".")
			tasks = append(tasks, task)
		}
	}
	return tasks
}

// both is what is in the list, which when nil holds all, and is the id.
func both(list []string, id string) []string {
	if list == nil || slices.Contains(list, id) {
		return []string{id}
	}
	return []string{}
}

func deploymentsOfRelease(tx *store.Tx, space, release string) ([]string, error) {
	list, _, err := store.List[resource.Deployment](tx, store.Query{Space: space, Where: map[string][]string{"ReleaseId": {release}}})
	ids := []string{}
	for i := range list {
		ids = append(ids, list[i].ID)
	}
	return ids, err
}

// tasksAtOnce is how many tasks are read with one query.
const tasksAtOnce = 1000

func allTasks(tx *store.Tx, q store.TaskQuery) ([]store.Task, error) {
	var all []store.Task
	for {
		q.Skip, q.Take = len(all), tasksAtOnce
		some, total, err := store.ListTasks(tx, q)
		if err != nil {
			return nil, err
		}
		if all = append(all, some...); len(some) == 0 || len(all) >= total {
			return all, nil
		}
	}
}

// artifactsOf are a task's artifacts in the order of its steps and machines.
func artifactsOf(tx *store.Tx, task *store.Task) ([]Artifact, error) {
	stored, err := store.Artifacts(tx, task.ID)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(stored, func(a, b store.Artifact) int {
		return cmp.Or(compareNumbered(a.Attempt, b.Attempt), compareNumbered(a.Item, b.Item))
	})
	list := make([]Artifact, 0, len(stored))
	for i := range stored {
		a := &stored[i]
		list = append(list, Artifact{
			ID: artifactPrefix + a.Attempt + "." + a.Item, SpaceID: task.SpaceID, TaskID: task.ID, Filename: a.Name,
			Size: a.Size, SHA256: a.SHA256, MachineID: memberOf(a.Attempt), attempt: a.Attempt,
		})
	}
	return list, nil
}

// memberOf is the member in an attempt's id: rollout.step.action.member.try.
func memberOf(attempt string) string {
	if parts := strings.Split(attempt, "."); len(parts) > 3 {
		return parts[3]
	}
	return ""
}

// compareNumbered compares texts part by part, where "10" comes after "9".
func compareNumbered(a, b string) int {
	return slices.CompareFunc(numbered(a), numbered(b), func(x, y string) int {
		m, errM := strconv.Atoi(x)
		n, errN := strconv.Atoi(y)
		if errM == nil && errN == nil {
			return cmp.Compare(m, n)
		}
		return strings.Compare(x, y)
	})
}

func numbered(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '.' || r == '-' })
}

// complete adds to artifacts what their rollouts know: who handed them in and
// when.
func complete(tx *store.Tx, list []Artifact) error {
	views := map[string]*store.RolloutView{}
	for i := range list {
		a := &list[i]
		view := views[a.TaskID]
		if view == nil {
			var err error
			if view, err = store.ViewRollout(tx, a.TaskID); err != nil {
				return fmt.Errorf("read the rollout of %s: %w", a.ID, err)
			}
			views[a.TaskID] = view
		}
		a.placeIn(view)
	}
	return nil
}

func (a *Artifact) placeIn(view *store.RolloutView) {
	for i := range view.Members {
		if m := &view.Members[i]; m.ID == a.MachineID {
			a.Machine = m.Name
		}
	}
	for i := range view.Attempts {
		attempt := &view.Attempts[i]
		if attempt.ID != a.attempt {
			continue
		}
		a.Created = attempt.EndedAt
		a.Activity = fmt.Sprintf("%s/%d/%s", a.TaskID, attempt.Cell.Step+1, attempt.Cell.Member)
		if len(view.Plan.Steps[attempt.Cell.Step].Actions) > 1 {
			a.Activity += "/" + strconv.Itoa(attempt.Cell.Action+1)
		}
	}
}
