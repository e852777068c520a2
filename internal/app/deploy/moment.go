package deploy

import (
	"context"
	"fmt"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// Moment is a task at one point of its history.
type Moment struct {
	Task *Task
	// Seq is the number of the history's last event. Tree is what the steps and
	// machines say then, without output; nil where Seq is what the caller knows,
	// and for a task without steps.
	Seq  int64
	Tree *Activity
	// Notes are the lines of the task's own log behind what the caller knows.
	// More: there are more than these.
	Notes []Note
	More  bool
}

// Note is a line of the task's own log. Activity is the step or machine that
// it is about.
type Note struct {
	Seq      int64
	Activity string
	LogLine
}

// momentNotes bounds the notes of one Moment.
const momentNotes = 1000

// Moment reads a task for somebody who knows its history up to an event; whole
// reads the tree even if that is all of it.
func (s *Service) Moment(ctx context.Context, who app.Caller, space, id string, known int64, whole bool) (m *Moment, err error) {
	var view *store.RolloutView
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		m, view = &Moment{}, nil
		if m.Task, err = taskFor(tx, who, space, id, authz.TaskView); err != nil {
			return err
		}
		if err := store.FillAsking(tx, m.Task); err != nil {
			return err
		}
		if m.Seq, err = store.LastSeq(tx, id); err != nil {
			return err
		}
		notes, err := store.NotesAfter(tx, id, known, momentNotes)
		if err != nil {
			return err
		}
		m.More = len(notes) == momentNotes
		for i := range notes {
			n := &notes[i]
			m.Notes = append(m.Notes, Note{Seq: n.Seq, Activity: activityOf(id, &n.Note), LogLine: LogLine{At: n.At, Category: n.Category, Text: n.Text}})
		}
		if m.Seq == known && !whole {
			return nil
		}
		view, err = store.ViewRollout(tx, id)
		if resource.CodeOf(err) == resource.NotFound {
			return nil
		}
		return err
	})
	if err != nil || view == nil {
		return m, err
	}
	view.Notes = nil
	m.Tree = &Activity{ID: id, Name: m.Task.Description, Status: taskStatus(m.Task), Started: m.Task.StartTime, Ended: m.Task.CompletedTime, Reason: m.Task.Error}
	b := &treeBuilder{s: s, ctx: ctx, view: view, tail: NoOutput, attempts: map[rollout.CellKey][]*rollout.Attempt{}, notes: map[rollout.CellKey][]LogLine{}}
	return m, b.build(m.Tree)
}

// activityOf is the id of the activity that a note is about.
func activityOf(task string, n *rollout.Note) string {
	switch {
	case n.Step < 0:
		return task
	case n.Member == "":
		return fmt.Sprintf("%s/%d", task, n.Step+1)
	}
	return fmt.Sprintf("%s/%d/%s", task, n.Step+1, n.Member)
}
