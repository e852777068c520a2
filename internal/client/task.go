package client

import (
	"context"
	"io"
	"net/url"
	"strconv"
	"strings"
)

// The states of a task (octopus-api.md 2.14).
const (
	TaskQueued     = "Queued"
	TaskExecuting  = "Executing"
	TaskFailed     = "Failed"
	TaskCanceled   = "Canceled"
	TaskTimedOut   = "TimedOut"
	TaskSuccess    = "Success"
	TaskCancelling = "Cancelling"
)

// Task is a server task.
type Task struct {
	ID                       string `json:"Id"`
	Name                     string
	Description              string
	State                    string
	SpaceID                  string `json:"SpaceId"`
	Arguments                map[string]any
	IsCompleted              bool
	FinishedSuccessfully     bool
	HasWarningsOrErrors      bool
	HasPendingInterruptions  bool
	PendingInterruptionTypes []string
	QueueTime                string
	StartTime                string
	CompletedTime            string
	Duration                 string
	ErrorMessage             string
	// WaitsFor says what a queued task waits for, who holds it and since when.
	WaitsFor string
	// Priority orders the queue: the highest first, then the oldest.
	Priority int
}

// TaskDetails is a task with its tree of activities.
type TaskDetails struct {
	Task         Task
	ActivityLogs []*Activity
	Progress     struct {
		ProgressPercentage     int
		EstimatedTimeRemaining string
	}
}

// Activity is one node of a task's log: the task, a step, a machine or an
// action on a machine.
type Activity struct {
	ID                 string `json:"Id"`
	Name               string
	Status             string
	Started            string
	Ended              string
	ProgressPercentage int
	ProgressMessage    string
	Children           []*Activity
	LogElements        []LogElement
}

// LogElement is one line of a log.
type LogElement struct {
	Category    string
	OccurredAt  string
	MessageText string
	Number      int64
}

// Task fetches one task.
func (c *Client) Task(ctx context.Context, id string) (Task, error) {
	var task Task
	return task, c.Get(ctx, "/api/tasks/"+url.PathEscape(id), nil, &task)
}

// Tasks fetches the tasks with those ids, of whatever space.
func (c *Client) Tasks(ctx context.Context, ids []string) ([]Task, error) {
	return List[Task](ctx, c, "/api/tasks", url.Values{"ids": {strings.Join(ids, ",")}}, 0)
}

// TaskDetails fetches a task with the last tail lines of each activity's log;
// 0 means all of them.
func (c *Client) TaskDetails(ctx context.Context, id string, tail int) (TaskDetails, error) {
	var details TaskDetails
	query := url.Values{"verbose": {"true"}}
	if tail > 0 {
		query.Set("tail", strconv.Itoa(tail))
	}
	return details, c.Get(ctx, "/api/tasks/"+url.PathEscape(id)+"/details", query, &details)
}

// TaskLog copies the task's log as plain text.
func (c *Client) TaskLog(ctx context.Context, id string, to io.Writer) error {
	return c.Text(ctx, "/api/tasks/"+url.PathEscape(id)+"/raw", to)
}

// CancelTask asks for the end of a task; the task ends when its scripts have.
func (c *Client) CancelTask(ctx context.Context, id string) (Task, error) {
	var task Task
	return task, c.Post(ctx, "/api/tasks/"+url.PathEscape(id)+"/cancel", struct{}{}, &task)
}

// PrioritizeTask puts a queued task before those of a lower priority, and with
// nil before all.
func (c *Client) PrioritizeTask(ctx context.Context, id string, priority *int) (Task, error) {
	var task Task
	body := struct{ Priority *int }{priority}
	return task, c.Post(ctx, "/api/tasks/"+url.PathEscape(id)+"/prioritize", body, &task)
}
