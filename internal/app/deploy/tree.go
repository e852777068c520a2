package deploy

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// The store's own types by the names of this area, for handlers that do not
// know the store.
type (
	// Task is a server task.
	Task = store.Task
	// TaskState is where a task is.
	TaskState = store.TaskState
	// TaskQuery says which tasks are wanted.
	TaskQuery = store.TaskQuery
	// Receipt is what a machine proved to have installed.
	Receipt = store.StoredReceipt
)

// Activity is a node of a task's tree: the task, a step, a machine in it, an
// action on that machine. Times are unix milliseconds, 0 for "not yet".
type Activity struct {
	ID       string
	Name     string
	Status   ActivityStatus
	Started  int64
	Ended    int64
	Children []*Activity
	Attempts []string // whose output comes before what the server says
	Log      []LogLine
	Progress int    // percent, of what the scripts reported
	Reason   string // why it did not succeed, or what it waits for
}

// ActivityStatus is where an activity is (octopus-api.md 2.14).
type ActivityStatus string

// The statuses.
const (
	ActivityPending  ActivityStatus = "Pending"
	ActivityRunning  ActivityStatus = "Running"
	ActivitySuccess  ActivityStatus = "Success"
	ActivityWarning  ActivityStatus = "SuccessWithWarning"
	ActivityFailed   ActivityStatus = "Failed"
	ActivitySkipped  ActivityStatus = "Skipped"
	ActivityCanceled ActivityStatus = "Canceled"
)

// LogLine is one line of a log.
type LogLine struct {
	At       int64 // unix milliseconds
	Category string
	Text     string
}

// maxLog is how many bytes of one attempt's output a tree shows; the raw log
// has all.
const maxLog = 1 << 20

// maxTree bounds the output in one tree, in bytes (abuse 67).
const maxTree = 32 << 20

// NoOutput is the tail of a tree without the output of attempts: Lines reads
// it, however much it is.
const NoOutput = -1

// Tree reads a task as a tree. tail limits each activity's log to its last
// lines; 0 means as many as maxLog bytes hold.
func (s *Service) Tree(ctx context.Context, who app.Caller, space, id string, tail int) (*Task, *Activity, error) {
	details, err := s.TaskDetails(ctx, who, space, id)
	if err != nil {
		return nil, nil, err
	}
	root := &Activity{
		ID: id, Name: details.Task.Description, Status: taskStatus(details.Task),
		Started: details.Task.StartTime, Ended: details.Task.CompletedTime, Reason: details.Task.Error,
	}
	if details.Rollout == nil {
		for i := range details.Notes {
			n := &details.Notes[i]
			root.Log = append(root.Log, LogLine{At: n.At, Category: n.Category, Text: n.Text})
		}
		return details.Task, root, nil
	}
	b := &treeBuilder{s: s, ctx: ctx, view: details.Rollout, tail: tail, room: maxTree, attempts: map[rollout.CellKey][]*rollout.Attempt{}, notes: map[rollout.CellKey][]LogLine{}}
	err = b.build(root)
	return details.Task, root, err
}

func taskStatus(t *Task) ActivityStatus {
	switch t.State {
	case store.TaskQueued:
		return ActivityPending
	case store.TaskExecuting, store.TaskCancelling:
		return ActivityRunning
	case store.TaskSuccess:
		if t.HasWarnings {
			return ActivityWarning
		}
		return ActivitySuccess
	case store.TaskCanceled:
		return ActivityCanceled
	case store.TaskFailed, store.TaskTimedOut:
	}
	return ActivityFailed
}

type treeBuilder struct {
	s        *Service
	ctx      context.Context //nolint:containedctx // lives for one call of Tree
	view     *store.RolloutView
	tail     int
	room     int // bytes of output that the tree may still take
	attempts map[rollout.CellKey][]*rollout.Attempt
	notes    map[rollout.CellKey][]LogLine
	cells    map[int][]*rollout.Cell // by step, in order of member and action
}

func (b *treeBuilder) build(root *Activity) error {
	for i := range b.view.Attempts {
		a := &b.view.Attempts[i]
		b.attempts[a.Cell] = append(b.attempts[a.Cell], a)
	}
	for i := range b.view.Notes {
		n := &b.view.Notes[i]
		key := rollout.CellKey{Step: n.Step, Action: n.Action, Member: n.Member}
		if n.Step < 0 {
			key = rollout.CellKey{Step: -1, Action: -1}
		}
		b.notes[key] = append(b.notes[key], LogLine{At: n.At, Category: n.Category, Text: n.Text})
	}
	b.cells = map[int][]*rollout.Cell{}
	for i := range b.view.Cells {
		c := &b.view.Cells[i]
		b.cells[c.Step] = append(b.cells[c.Step], c)
	}
	root.Log = append(root.Log, b.notes[rollout.CellKey{Step: -1, Action: -1}]...)
	names := map[string]string{}
	order := map[string]int64{}
	for i := range b.view.Members {
		m := &b.view.Members[i]
		names[m.ID], order[m.ID] = m.Name, m.Ord
	}
	for i := range b.view.Plan.Steps {
		step, err := b.step(root.ID, i, names, order)
		if err != nil {
			return err
		}
		root.Children = append(root.Children, step)
	}
	return nil
}

func (b *treeBuilder) step(parent string, index int, names map[string]string, order map[string]int64) (*Activity, error) {
	spec := &b.view.Plan.Steps[index]
	activity := &Activity{ID: parent + "/" + strconv.Itoa(index+1), Name: fmt.Sprintf("Step %d: %s", spec.Number, spec.Name), Status: ActivityPending}
	for i := range b.view.Steps {
		if row := &b.view.Steps[i]; row.Index == index {
			activity.Status, activity.Started, activity.Ended, activity.Reason = stepStatus(row), row.StartedAt, row.EndedAt, row.Reason
		}
	}
	activity.Log = append(activity.Log, b.notes[rollout.CellKey{Step: index, Action: -1}]...)
	members := map[string]*Activity{}
	var list []string
	for _, c := range b.cells[index] {
		m := members[c.Member]
		if m == nil {
			m = &Activity{ID: activity.ID + "/" + c.Member, Name: names[c.Member]}
			members[c.Member] = m
			list = append(list, c.Member)
		}
		action, err := b.cell(m.ID, spec, c)
		if err != nil {
			return nil, err
		}
		m.Children = append(m.Children, action)
	}
	for i := range b.view.Members {
		m := &b.view.Members[i]
		if reason := turnOf(b.view, index, m); members[m.ID] == nil && reason != "" {
			activity.Children = append(activity.Children, &Activity{ID: activity.ID + "/" + m.ID, Name: m.Name, Status: ActivityPending, Reason: reason})
		}
	}
	slices.SortStableFunc(list, func(a, b string) int { return int(order[a] - order[b]) })
	begun := make([]*Activity, 0, len(list)+len(activity.Children))
	for _, id := range list {
		m := summarise(members[id], len(spec.Actions))
		if activity.Ended != 0 && m.open() { // the step ended before the machine's last action
			m.Status, m.Ended = ActivityCanceled, activity.Ended
		}
		begun = append(begun, m)
	}
	activity.Children = append(begun, activity.Children...)
	return activity, nil
}

// turnOf says what a machine that has not begun an open step waits for; "" for
// one that the step is not for. It is the same until the machine's turn comes.
func turnOf(view *store.RolloutView, index int, m *rollout.Member) string {
	spec := &view.Plan.Steps[index]
	if m.State != rollout.MemberLive || m.Track > 0 || !spec.Covers(m) || view.Row.State != rollout.Running {
		return ""
	}
	for i := range view.Steps {
		if row := &view.Steps[i]; row.Index == index && row.State == rollout.StepOpen {
			return waitsForTurn(spec, row, m)
		}
	}
	return ""
}

// waitsForTurn says why the window has not let the machine in yet.
func waitsForTurn(spec *rollout.Step, row *rollout.StepRow, m *rollout.Member) string {
	if m.Ord > row.Opened && !spec.Verified(row) {
		return "came while the step ran, and waits until a batch of it is verified"
	}
	return strings.TrimSuffix("waits for its turn, "+spec.Window.Says(row.Scope), ", ")
}

// open says that the activity has not ended.
func (a *Activity) open() bool { return a.Status == ActivityPending || a.Status == ActivityRunning }

// summarise gives a machine the state of its actions; where a step has one
// action the machine is that action.
func summarise(m *Activity, actions int) *Activity {
	first, last := m.Children[0], m.Children[len(m.Children)-1]
	m.Started, m.Ended, m.Status, m.Reason = first.Started, last.Ended, last.Status, last.Reason
	worst := ActivitySkipped
	for _, c := range m.Children {
		switch {
		case c.Status == ActivityFailed, c.Status == ActivityCanceled:
			m.Status, m.Reason, worst = c.Status, c.Reason, c.Status
		case worst == ActivitySkipped && c.Status != ActivitySkipped:
			worst = c.Status
		}
	}
	switch {
	case last.Status == ActivityRunning || last.Status == ActivityPending:
		m.Status, m.Ended = last.Status, 0
	case len(m.Children) < actions && m.Status == ActivitySuccess:
		m.Status, m.Ended = ActivityRunning, 0
	case m.Status == ActivitySkipped && worst != ActivitySkipped:
		m.Status = worst
	}
	if actions == 1 {
		first.ID, first.Name = m.ID, m.Name
		return first
	}
	return m
}

func (b *treeBuilder) cell(parent string, spec *rollout.Step, c *rollout.Cell) (*Activity, error) {
	activity := &Activity{
		ID: fmt.Sprintf("%s/%d", parent, c.Action+1), Name: spec.Actions[c.Action].Name, Status: cellStatus(c),
		Started: c.StartedAt, Ended: c.EndedAt, Reason: c.Reason,
	}
	if reason := b.waitsFor(c); reason != "" {
		activity.Reason = reason
	}
	for _, a := range b.attempts[c.CellKey] {
		activity.Attempts = append(activity.Attempts, a.ID)
		if err := b.output(activity, a); err != nil {
			return nil, err
		}
		if a.Warnings && activity.Status == ActivitySuccess {
			activity.Status = ActivityWarning
		}
	}
	for _, line := range activity.Log {
		if percent, ok := progressOfLine(line); ok {
			activity.Progress = percent
		}
	}
	activity.Log = append(activity.Log, b.notes[c.CellKey]...)
	return activity, nil
}

// waitsFor says what a cell that does not run waits for: who holds it, and
// since when; "" when it waits for nothing.
func (b *treeBuilder) waitsFor(c *rollout.Cell) string {
	at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
	wait, queued := b.view.Waits[c.CellKey]
	switch {
	case c.State == rollout.CellInterrupted:
		return strings.TrimSuffix("waits for an answer: "+c.Reason, ": ")
	case c.State != rollout.CellWaiting:
		return ""
	case queued && wait.Holder != "":
		return fmt.Sprintf("waits for the machine since %s; %s has worked on it since %s", at(wait.Since), wait.Holder, at(wait.HeldSince))
	case c.DueAt != 0:
		return fmt.Sprintf("%s; tries again at %s", c.Reason, at(c.DueAt))
	}
	return "waits for the machine"
}

// output adds what the attempt printed to the activity's log, as far as there
// is room.
func (b *treeBuilder) output(activity *Activity, a *rollout.Attempt) error {
	if b.tail == NoOutput {
		return nil
	}
	lines, size, err := b.s.lines(b.ctx, a.ID, b.tail, min(maxLog, b.room))
	b.room -= size
	if n := len(lines); n > 0 && lines[n-1].At == 0 {
		lines[n-1].At = max(activity.Started, activity.Ended)
	}
	activity.Log = append(activity.Log, lines...)
	return err
}

func progressOfLine(line LogLine) (int, bool) {
	if line.Category != "Progress" {
		return 0, false
	}
	text, _, _ := strings.Cut(line.Text, " ")
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// Lines reads all of an attempt's output, a piece at a time.
func (s *Service) Lines(ctx context.Context, attempt string) iter.Seq2[LogLine, error] {
	return func(yield func(LogLine, error) bool) {
		var rest []byte
		for from := int64(0); ; {
			data, err := s.db.Logs().Read(ctx, attempt, from, maxLog)
			if err != nil {
				yield(LogLine{}, err)
				return
			}
			if len(data) == 0 {
				return
			}
			from += int64(len(data))
			rest = append(rest, data...)
			whole := bytes.LastIndexByte(rest, '\n') + 1
			for _, line := range ParseLog(rest[:whole]) {
				if !yield(line, nil) {
					return
				}
			}
			rest = rest[:copy(rest, rest[whole:])]
		}
	}
}

// lines reads at most that many bytes of an attempt's output: its beginning, or
// its last lines when tail is above 0. It says so where there is more.
func (s *Service) lines(ctx context.Context, attempt string, tail, most int) (list []LogLine, size int, err error) {
	length, err := s.db.Logs().Length(ctx, attempt)
	if err != nil || length == 0 {
		return nil, 0, err
	}
	var from int64
	if tail > 0 {
		from = max(0, length-int64(min(tail*512, most)))
	}
	var data []byte
	if most > 0 {
		if data, err = s.db.Logs().Read(ctx, attempt, from, most); err != nil {
			return nil, 0, err
		}
	}
	size = len(data)
	if from > 0 { // begins within a line
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	list = ParseLog(data)
	if tail > 0 && len(list) > tail {
		list = list[len(list)-tail:]
	}
	if tail == 0 && int64(size) < length || most == 0 {
		more := LogLine{Category: "Info", Text: "There is more; the raw log has all of it."}
		if len(list) > 0 {
			more.At = list[len(list)-1].At
		}
		list = append(list, more)
	}
	return list, size, nil
}

// ParseLog reads the lines of an attempt's log: "<unix ms>\t<category>\t<text>".
// A last line without its newline is not yet whole and is left out.
func ParseLog(data []byte) []LogLine {
	var list []LogLine
	for {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole {
			return list
		}
		data = rest
		parts := strings.SplitN(string(line), "\t", 3)
		if len(parts) != 3 {
			continue
		}
		at, err := strconv.ParseInt(parts[0], 10, 64)
		if err != nil {
			continue
		}
		list = append(list, LogLine{At: at, Category: parts[1], Text: parts[2]})
	}
}

func stepStatus(s *rollout.StepRow) ActivityStatus {
	switch s.State {
	case rollout.StepOpen:
		return ActivityRunning
	case rollout.StepSucceeded:
		return ActivitySuccess
	case rollout.StepFailed:
		return ActivityFailed
	case rollout.StepSkipped:
		return ActivitySkipped
	case rollout.StepCanceled:
		return ActivityCanceled
	case rollout.StepPending:
	}
	return ActivityPending
}

func cellStatus(c *rollout.Cell) ActivityStatus {
	switch c.State {
	case rollout.CellWaiting:
		return ActivityPending
	case rollout.CellRunning, rollout.CellInterrupted:
		return ActivityRunning
	case rollout.CellSucceeded:
		return ActivitySuccess
	case rollout.CellIgnored:
		return ActivityWarning
	case rollout.CellSkipped:
		return ActivitySkipped
	case rollout.CellCanceled, rollout.CellSuperseded:
		return ActivityCanceled
	case rollout.CellFailed, rollout.CellTimedOut, rollout.CellUnknown, rollout.CellNotDeployed:
	}
	return ActivityFailed
}
