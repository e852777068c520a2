package deploy

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (h *handler) taskRoutes() []api.Route {
	both := []api.Route{
		api.Get("/tasks", authz.TaskView, "List tasks", h.listTasks).
			With("ids", "states", "name", "project", "environment", "tenant", "active", "running", "hasPendingInterruptions", "spaces", "includeSystem", "before").Paged(),
		api.Post("/tasks", authz.TaskCreate, "Queue a task", h.createTask),
		api.Get("/tasks/taskTypes", authz.TaskView, "List the types of tasks", h.taskTypes),
		api.Get("/tasks/{id}", authz.TaskView, "Get a task", h.getTask),
		api.Get("/tasks/{id}/details", authz.TaskView, "Get a task's tree of steps and machines", h.taskDetails).With("verbose", "tail", "ranges"),
		api.Raw(http.MethodGet, "/tasks/{id}/raw", authz.TaskView, "Get a task's log", "text/plain", h.taskLog),
		api.Post("/tasks/{id}/cancel", authz.TaskCancel, "Cancel a task", h.cancelTask).Bodiless().Answers(200),
		api.Post("/tasks/{id}/prioritize", authz.TaskEdit, "Put a queued task before others", h.prioritizeTask).Bodiless().Answers(200),
		api.Get("/tasks/{id}/queued-behind", authz.TaskView, "List the tasks that a task waits for", h.queuedBehind).Paged(),
		api.Get("/tasks/{id}/receipts", authz.TaskView, "List what the machines proved to have installed", h.receipts),
		api.Raw(http.MethodGet, "/tasks/{id}/events", authz.TaskView, "Follow a task: its states, reasons and times as they change", "text/event-stream", h.taskEvents).With("lastEventId"),
	}
	var routes []api.Route
	for _, r := range both {
		routes = append(routes, r.At(route.Both))
	}
	return routes
}

// taskAnswer is a task as the wire has it (octopus-api.md 2.14).
type taskAnswer struct {
	ID                                     string `json:"Id"`
	SpaceID                                string `json:"SpaceId,omitempty"`
	EnvironmentID                          string `json:"EnvironmentId,omitempty"`
	ProjectID                              string `json:"ProjectId,omitempty"`
	TenantID                               string `json:"TenantId,omitempty"`
	Name                                   string
	Description                            string
	Arguments                              map[string]any
	State                                  deploy.TaskState
	Completed                              string
	QueueTime                              resource.Time
	QueueTimeExpiry                        resource.Time
	StartTime                              resource.Time
	LastUpdatedTime                        resource.Time
	CompletedTime                          resource.Time
	ServerNode                             string `json:",omitempty"`
	Duration                               string
	ErrorMessage                           string
	HasBeenPickedUpByProcessor             bool
	IsCompleted                            bool
	FinishedSuccessfully                   bool
	HasPendingInterruptions                bool
	PendingInterruptionTypes               []string
	HasWarningsOrErrors                    bool
	CanRerun                               bool
	EstimatedRemainingQueueDurationSeconds int
	// WaitsFor says what a queued task waits for, who holds it and since when.
	WaitsFor string `json:",omitempty"`
	// Priority orders the queue: the highest first, then the oldest.
	Priority int
	Links    api.Links
}

func taskOf(t *deploy.Task) taskAnswer {
	self := "/api/tasks/" + url.PathEscape(t.ID)
	answer := taskAnswer{
		ID: t.ID, SpaceID: t.SpaceID, EnvironmentID: t.EnvironmentID, ProjectID: t.ProjectID, TenantID: t.TenantID, Name: t.Name, Description: t.Description,
		Arguments: t.Arguments, State: t.State, QueueTime: resource.Time(t.QueueTime), QueueTimeExpiry: resource.Time(t.ExpiryTime),
		StartTime: resource.Time(t.StartTime), LastUpdatedTime: resource.Time(t.UpdatedTime), CompletedTime: resource.Time(t.CompletedTime),
		ServerNode: t.Node, ErrorMessage: t.Error, HasBeenPickedUpByProcessor: t.StartTime > 0, IsCompleted: t.State.Completed(),
		FinishedSuccessfully: t.State == "Success", HasWarningsOrErrors: t.HasWarnings || t.Error != "", HasPendingInterruptions: len(t.Asking) > 0, PendingInterruptionTypes: textsOf(t.Asking), WaitsFor: t.WaitsFor, Priority: t.Priority,
		Links: api.Links{
			"Self": self, "Details": self + "/details{?verbose,tail,ranges}", "Raw": self + "/raw", "Cancel": self + "/cancel", "State": self + "/state",
			"Rerun": "/api/tasks/rerun/" + url.PathEscape(t.ID), "Prioritize": self + "/prioritize", "QueuedBehind": self + "/queued-behind{?skip,take}", "Receipts": self + "/receipts", "Events": self + "/events",
			"Artifacts":     "/api/" + t.SpaceID + "/artifacts?regarding=" + url.QueryEscape(t.ID),
			"Interruptions": "/api/" + t.SpaceID + "/interruptions?regarding=" + url.QueryEscape(t.ID),
			"Web":           "/app#/" + t.SpaceID + "/tasks/" + t.ID,
		},
	}
	if answer.Arguments == nil {
		answer.Arguments = map[string]any{}
	}
	if t.CompletedTime > 0 {
		answer.Completed = answer.CompletedTime.String()
	}
	if t.StartTime > 0 && t.CompletedTime > 0 {
		answer.Duration = inWords(time.Duration(t.CompletedTime-t.StartTime) * time.Millisecond)
	}
	return answer
}

// inWords is a duration as people say it: "34 seconds".
func inWords(d time.Duration) string {
	plural := func(n int, unit string) string {
		if n == 1 {
			return "1 " + unit
		}
		return strconv.Itoa(n) + " " + unit + "s"
	}
	switch {
	case d < time.Second:
		return "less than a second"
	case d < time.Minute:
		return plural(int(d.Seconds()), "second")
	case d < time.Hour:
		return plural(int(d.Minutes()), "minute")
	default:
		return plural(int(d.Hours()), "hour")
	}
}

type taskCollection struct {
	api.Collection[taskAnswer]
	TotalCounts map[deploy.TaskState]int
}

func (h *handler) listTasks(c *api.Call) (*taskCollection, error) {
	q := deploy.TaskQuery{
		IDs: c.List("ids"), Name: c.Text("name"), ProjectID: c.Text("project"), EnvironmentID: c.Text("environment"), TenantID: c.Text("tenant"),
		Skip: c.Page().Skip, Take: c.Page().Take, Spaces: c.List("spaces"), Before: c.Text("before"), Asking: c.Flag("hasPendingInterruptions"),
	}
	if c.Space != "" {
		q.Spaces = []string{c.Space}
	}
	if q.IDs != nil {
		q.Spaces = nil // a client waits for tasks of several spaces (octopus-api.md 2.14)
	}
	for _, state := range c.List("states") {
		q.States = append(q.States, deploy.TaskState(state))
	}
	if c.Flag("active") || c.Flag("running") {
		q.States = []deploy.TaskState{"Queued", "Executing", "Cancelling"}
	}
	tasks, total, counts, next, err := h.deploy.Tasks(c.Context(), c.Caller, q)
	if err != nil {
		return nil, err
	}
	answers := make([]taskAnswer, 0, len(tasks))
	for i := range tasks {
		answers = append(answers, taskOf(&tasks[i]))
	}
	for _, state := range []deploy.TaskState{"Queued", "Executing", "Cancelling", "Success", "Failed", "Canceled", "TimedOut"} {
		if _, has := counts[state]; !has {
			counts[state] = 0
		}
	}
	return &taskCollection{api.CollectionOf(c, "Task", answers, total).After(next), counts}, nil
}

// priorityBody is how urgent a task is to be; without one it comes first.
type priorityBody struct{ Priority *int }

func (h *handler) prioritizeTask(c *api.Call, in priorityBody) (taskAnswer, error) {
	task, err := h.deploy.Prioritize(c.Context(), c.Caller, c.Space, c.Param("id"), in.Priority)
	if err != nil {
		return taskAnswer{}, err
	}
	return taskOf(task), nil
}

func (h *handler) getTask(c *api.Call) (taskAnswer, error) {
	task, err := h.deploy.Task(c.Context(), c.Caller, c.Space, c.Param("id"))
	if err != nil {
		return taskAnswer{}, err
	}
	return taskOf(task), nil
}

type createTaskBody struct {
	Name        string
	Description string
	Arguments   map[string]any
	SpaceID     string `json:"SpaceId"`
}

func (h *handler) createTask(c *api.Call, in createTaskBody) (taskAnswer, error) {
	space := firstOf(c.Space, in.SpaceID, resource.DefaultSpace)
	if in.Name != "AdHocScript" {
		id, err := h.tasks.StartTask(c, in.Name, in.Description, in.Arguments)
		if err != nil {
			return taskAnswer{}, err
		}
		task, err := h.deploy.Task(c.Context(), c.Caller, space, id)
		if err != nil {
			return taskAnswer{}, err
		}
		return taskOf(task), nil
	}
	args := in.Arguments
	task, err := h.deploy.RunScript(c.Context(), c.Caller, space, deploy.AdHocScript{
		Description: in.Description, Body: text(args, "ScriptBody"), Syntax: text(args, "Syntax"),
		Machines: texts(args, "MachineIds"), Environments: texts(args, "EnvironmentIds"), Roles: texts(args, "TargetRoles"),
	})
	if err != nil {
		return taskAnswer{}, err
	}
	return taskOf(task), nil
}

// text and texts read a task's argument, its name in any case.
func text(args map[string]any, name string) string {
	for key, value := range args {
		if s, ok := value.(string); ok && strings.EqualFold(key, name) {
			return s
		}
	}
	return ""
}

func texts(args map[string]any, name string) []string {
	var found []string
	for key, value := range args {
		values, ok := value.([]any)
		if !ok || !strings.EqualFold(key, name) {
			continue
		}
		for _, v := range values {
			if s, ok := v.(string); ok {
				found = append(found, s)
			}
		}
	}
	return found
}

func (h *handler) cancelTask(c *api.Call, _ api.None) (taskAnswer, error) {
	task, err := h.deploy.CancelTask(c.Context(), c.Caller, c.Space, c.Param("id"))
	if err != nil {
		return taskAnswer{}, err
	}
	return taskOf(task), nil
}

// queuedBehind lists the task that holds what this one waits for.
func (h *handler) queuedBehind(c *api.Call) (api.Collection[taskAnswer], error) {
	task, err := h.deploy.Task(c.Context(), c.Caller, c.Space, c.Param("id"))
	if err != nil {
		return api.Collection[taskAnswer]{}, err
	}
	var behind []taskAnswer
	if holder, _, found := strings.Cut(task.WaitsFor, " "); found {
		if other, err := h.deploy.Task(c.Context(), c.Caller, c.Space, holder); err == nil {
			behind = append(behind, taskOf(other))
		}
	}
	return api.SliceOf(c, "Task", behind), nil
}

type taskType struct {
	ID   string `json:"Id"`
	Name string
}

func (h *handler) taskTypes(*api.Call) ([]taskType, error) {
	return []taskType{{"AdHocScript", "Run script"}, {"AutoDeploy", "Deploy the current release to new machines"}, {"Deploy", "Deploy"}, {"Health", "Check health"}}, nil
}

type taskDetails struct {
	Task            taskAnswer
	ActivityLogs    []activityLog
	PhysicalLogSize int64
	Progress        struct {
		ProgressPercentage     int
		EstimatedTimeRemaining string
	}
	Links api.Links
}

type activityLog struct {
	ID                 string `json:"Id"`
	Name               string
	Started            resource.Time
	Ended              resource.Time
	Status             deploy.ActivityStatus
	Children           []activityLog
	ShowAtSummaryLevel bool
	LogElements        []logElement
	ProgressPercentage int
	ProgressMessage    string
}

type logElement struct {
	Category    string
	OccurredAt  resource.Time
	MessageText string
	Detail      string
	Number      int
}

func (h *handler) taskDetails(c *api.Call) (*taskDetails, error) {
	tail := 0
	if c.Has("tail") {
		n, err := strconv.Atoi(c.Text("tail"))
		if err != nil || n < 0 {
			return nil, resource.Errorf(resource.Invalid, "tail has to be a number of lines.")
		}
		tail = n
	}
	task, tree, err := h.deploy.Tree(c.Context(), c.Caller, c.Space, c.Param("id"), tail)
	if err != nil {
		return nil, err
	}
	answer := &taskDetails{Task: taskOf(task), Links: api.Links{"Self": c.Path()}}
	root := activityOf(tree, &answer.PhysicalLogSize, 0)
	answer.ActivityLogs = []activityLog{root}
	answer.Progress.ProgressPercentage = root.ProgressPercentage
	return answer, nil
}

func activityOf(a *deploy.Activity, size *int64, depth int) activityLog {
	log := activityLog{
		ID: a.ID, Name: a.Name, Started: resource.Time(a.Started), Ended: resource.Time(a.Ended), Status: a.Status,
		Children: []activityLog{}, LogElements: []logElement{}, ShowAtSummaryLevel: depth > 0, ProgressPercentage: a.Progress, ProgressMessage: a.Reason,
	}
	for n, line := range a.Log {
		*size += int64(len(line.Text))
		log.LogElements = append(log.LogElements, logElement{Category: line.Category, OccurredAt: resource.Time(line.At), MessageText: line.Text, Number: n + 1})
	}
	done := 0
	for _, child := range a.Children {
		c := activityOf(child, size, depth+1)
		if c.Status != deploy.ActivityPending && c.Status != deploy.ActivityRunning {
			done++
		}
		log.Children = append(log.Children, c)
	}
	switch {
	case a.Status == deploy.ActivitySuccess, a.Status == deploy.ActivityWarning, a.Status == deploy.ActivitySkipped:
		log.ProgressPercentage = 100
	case len(a.Children) > 0:
		log.ProgressPercentage = 100 * done / len(a.Children)
	}
	return log
}

// taskLog writes a task's whole log as text, one line each: time, category,
// text, under the headings of its tree.
func (h *handler) taskLog(w http.ResponseWriter, c *api.Call) error {
	task, tree, err := h.deploy.Tree(c.Context(), c.Caller, c.Space, c.Param("id"), deploy.NoOutput)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "Task ID:        %s\nTask status:    %s\nTask queued:    %s\nTask started:   %s\nTask completed: %s\n\n",
		task.ID, task.State, resource.Time(task.QueueTime), resource.Time(task.StartTime), resource.Time(task.CompletedTime))
	if err := h.writeActivity(c, out, tree, 0); err != nil {
		return err
	}
	return out.Flush()
}

func (h *handler) writeActivity(c *api.Call, out *bufio.Writer, a *deploy.Activity, depth int) error {
	indent := strings.Repeat("  ", depth)
	fmt.Fprintf(out, "%s== %s: %s ==\n", indent, a.Status, a.Name)
	if a.Reason != "" {
		fmt.Fprintf(out, "%s   %s\n", indent, a.Reason)
	}
	write := func(line deploy.LogLine) {
		fmt.Fprintf(out, "%s   %s %-9s | %s\n", indent, resource.Time(line.At).Std().Format("15:04:05.000"), line.Category, line.Text)
	}
	for _, attempt := range a.Attempts {
		c.Extend(logWindow) // a log may be long and the line slow
		for line, err := range h.deploy.Lines(c.Context(), attempt) {
			if err != nil {
				return err
			}
			write(line)
		}
	}
	for _, line := range a.Log {
		write(line)
	}
	for _, child := range a.Children {
		if err := h.writeActivity(c, out, child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// logWindow is how long the log of one attempt may take to send.
const logWindow = 10 * time.Minute

type receiptAnswer struct {
	AttemptID     string `json:"AttemptId"`
	MachineID     string `json:"MachineId"`
	PackageID     string `json:"PackageId"`
	Version       string
	PackageSha256 string
	InstallDir    string
	Tree          string
	Files         []receiptFile
}

type receiptFile struct {
	Path   string
	Size   int64
	Sha256 string
}

func (h *handler) receipts(c *api.Call) ([]receiptAnswer, error) {
	stored, err := h.deploy.Receipts(c.Context(), c.Caller, c.Space, c.Param("id"))
	answers := make([]receiptAnswer, 0, len(stored))
	for i := range stored {
		r := &stored[i]
		answer := receiptAnswer{
			AttemptID: r.Attempt, MachineID: r.Machine, PackageID: r.PackageID, Version: r.Version, PackageSha256: r.PackageSHA256,
			InstallDir: r.InstallDir, Tree: r.Tree, Files: []receiptFile{},
		}
		for _, f := range r.FileList {
			answer.Files = append(answer.Files, receiptFile{f.Path, f.Size, f.SHA256})
		}
		answers = append(answers, answer)
	}
	slices.SortFunc(answers, func(a, b receiptAnswer) int { return strings.Compare(a.AttemptID, b.AttemptID) })
	return answers, err
}
