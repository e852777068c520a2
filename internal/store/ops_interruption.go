package store

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
)

// Interruption is a question that a rollout waits on, with what people have
// said to it. Times are unix milliseconds, 0 for "not yet".
type Interruption struct {
	ID      string // a function of rollout and number
	Rollout string // also the task's id
	SpaceID string
	rollout.Interruption
	ClosedAt  int64 // by the rollout's owner: answered and carried out, or withdrawn
	ClosedWhy string
	// Responsible is the user who took the question on.
	Responsible     string
	ResponsibleName string
	Guidance        rollout.Guidance // "" until it is answered
	Notes           string
	AnsweredAt      int64
	// Of its task: what it is about, and what decides who may see it.
	ProjectID     string
	EnvironmentID string
	TenantID      string
	DeploymentID  string
}

// Pending says that nobody has answered the question and that it is still asked.
func (i *Interruption) Pending() bool { return i.ClosedAt == 0 && i.AnsweredAt == 0 }

// InterruptionID is the id of a rollout's n-th question: a function, not a
// counter, so that a turn that is folded again makes the same one.
func InterruptionID(task string, n int) string {
	_, number, _ := strings.Cut(task, "-")
	return fmt.Sprintf("Interruptions-%s-%d", number, n)
}

// saveInterruption stores a new question with its audit row.
func (t *Turn) saveInterruption(q *rollout.Interruption) {
	var space string
	if t.err == nil {
		var err error
		space, err = RolloutSpace(t.tx, t.id)
		t.fail("ask", err)
	}
	id := InterruptionID(t.id, q.N)
	t.exec("ask", `INSERT INTO interruption (id, rollout_id, n, space_id, kind, step, action, member, attempt, title, text, choices, teams, asked_at, due_at,
		closed_at, closed_why, responsible, responsible_name, answer, notes, answered_at)
		VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,0,'','','','','',0)`,
		id, t.id, q.N, space, q.Kind, q.Cell.Step, q.Cell.Action, q.Cell.Member, q.Attempt, q.Title, q.Text,
		jsonOrEmpty(q.Choices), jsonOrEmpty(q.Teams), q.AskedAt, q.DueAt)
	if t.err != nil {
		return
	}
	category := resource.EventGuidedFailure
	if q.Kind == rollout.ManualIntervention {
		category = resource.EventManualIntervention
	}
	t.fail("audit", Audit(t.tx, AuditRecord{
		Category: category, SpaceID: space, Message: q.Title + " waits for an answer", Details: q.Text, Related: []string{t.id, id, q.Cell.Member},
	}))
	notifyTask(t.tx, t.id)
}

// closeInterruption notes that a question is no longer asked.
func (t *Turn) closeInterruption(c *rollout.Closing) {
	t.exec("close question", `UPDATE interruption SET closed_at = $3, closed_why = $4 WHERE rollout_id = $1 AND n = $2 AND closed_at = 0`, t.id, c.N, c.At, c.Why)
	if t.err == nil {
		notifyTask(t.tx, t.id)
	}
}

const interruptionQuery = `SELECT q.id, q.rollout_id, q.n, q.space_id, q.kind, q.step, q.action, q.member, q.attempt, q.title, q.text, q.choices, q.teams,
	q.asked_at, q.due_at, q.closed_at, q.closed_why, q.responsible, q.responsible_name, q.answer, q.notes, q.answered_at,
	task.project_id, task.environment_id, task.tenant_id, task.deployment_id`

const interruptionTables = ` FROM interruption q JOIN task ON task.id = q.rollout_id`

func scanInterruption(r *sql.Rows, i *Interruption) error {
	var choices, teams string
	if err := r.Scan(&i.ID, &i.Rollout, &i.N, &i.SpaceID, &i.Kind, &i.Cell.Step, &i.Cell.Action, &i.Cell.Member, &i.Attempt, &i.Title, &i.Text, &choices, &teams,
		&i.AskedAt, &i.DueAt, &i.ClosedAt, &i.ClosedWhy, &i.Responsible, &i.ResponsibleName, &i.Guidance, &i.Notes, &i.AnsweredAt,
		&i.ProjectID, &i.EnvironmentID, &i.TenantID, &i.DeploymentID); err != nil {
		return err
	}
	return errors.Join(fromJSON(choices, &i.Choices), fromJSON(teams, &i.Teams))
}

// InterruptionQuery narrows a list of questions; empty fields match all.
type InterruptionQuery struct {
	Spaces      []string
	IDs         []string
	Regarding   string // the id of a task, deployment, project, environment or machine
	PendingOnly bool
	Skip, Take  int // Take 0 means all
}

// ListInterruptions reads questions, newest first, and how many match in all.
func ListInterruptions(tx *Tx, q InterruptionQuery) (list []Interruption, total int, err error) {
	var where conditions
	where.in("q.space_id", q.Spaces)
	where.in("q.id", q.IDs)
	if q.Regarding != "" {
		where.args = append(where.args, q.Regarding)
		where.parts = append(where.parts, fmt.Sprintf("$%d IN (task.id, task.deployment_id, task.project_id, task.environment_id, q.member)", len(where.args)))
	}
	if q.PendingOnly {
		where.parts = append(where.parts, "q.closed_at = 0 AND q.answered_at = 0")
	}
	if err := tx.queryRow(`SELECT COUNT(*)`+interruptionTables+where.sql(), where.args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count interruptions: %w", err)
	}
	query, args := interruptionQuery+interruptionTables+where.sql()+` ORDER BY q.asked_at DESC, q.rollout_id, q.n`, where.args
	if q.Take > 0 {
		query += fmt.Sprintf(` LIMIT $%d OFFSET $%d`, len(args)+1, len(args)+2)
		args = append(args, q.Take, max(q.Skip, 0))
	}
	list, err = readRows(tx, "interruptions", query, scanInterruption, args...)
	return list, total, err
}

// GetInterruption reads one question; NotFound when there is none.
func GetInterruption(tx *Tx, id string) (*Interruption, error) {
	list, _, err := ListInterruptions(tx, InterruptionQuery{IDs: []string{id}, Take: 1})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, resource.Missing(id)
	}
	return &list[0], nil
}

// FillAsking reads what the tasks wait on people for.
func FillAsking(tx *Tx, tasks ...*Task) error {
	byID := map[string]*Task{}
	ids := []string{}
	for _, t := range tasks {
		if t.Asking = nil; t.State == TaskExecuting {
			byID[t.ID], ids = t, append(ids, t.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var where conditions
	where.in("rollout_id", ids)
	type pending struct {
		task string
		kind rollout.InterruptionKind
	}
	rows, err := readRows(tx, "interruptions", `SELECT DISTINCT rollout_id, kind FROM interruption`+where.sql()+` AND closed_at = 0 AND answered_at = 0 ORDER BY rollout_id, kind`,
		func(r *sql.Rows, p *pending) error { return r.Scan(&p.task, &p.kind) }, where.args...)
	for _, p := range rows {
		byID[p.task].Asking = append(byID[p.task].Asking, p.kind)
	}
	return err
}

// TakeResponsibility makes the user the one who answers the question.
func TakeResponsibility(tx *Tx, id, user, name string) error {
	result, err := tx.exec(`UPDATE interruption SET responsible = $2, responsible_name = $3 WHERE id = $1 AND closed_at = 0 AND answered_at = 0`, id, user, name)
	if err != nil {
		return fmt.Errorf("take responsibility for %s: %w", id, err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, notAsked(id))
	}
	return nil
}

// AnswerInterruption stores the answer and hands it to the rollout, in one
// transaction. The first one wins; any other is a Conflict (abuse 95).
func AnswerInterruption(tx *Tx, i *Interruption, guidance rollout.Guidance, notes string) error {
	now := tx.Now().UnixMilli()
	//guard:first-answer abuse 95: a question is answered once; less `answered_at = 0 AND `; seen by ./internal/store TestTheFirstAnswerCounts
	result, err := tx.exec(`UPDATE interruption SET answer = $2, notes = $3, answered_at = $4
		WHERE id = $1 AND answered_at = 0 AND closed_at = 0 AND responsible = $5`, i.ID, guidance, notes, now, i.Responsible)
	if err != nil {
		return fmt.Errorf("answer %s: %w", i.ID, err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, notAsked(i.ID))
	}
	notifyTask(tx, i.Rollout)
	return Post(tx, i.Rollout, fmt.Sprintf("answer/%d", i.N), rollout.Event{
		At: now, Kind: rollout.Answered, Cell: &i.Cell,
		Answer: &rollout.Answer{Interruption: i.N, Guidance: guidance, By: i.ResponsibleName, ByID: i.Responsible, Notes: notes},
	}, nil)
}

func notAsked(id string) error {
	return resource.Errorf(resource.Conflict, "'%s' has been answered, or is not asked any more. Look at the task to see how it went on.", id)
}

// Activity is the id of the place in the task's tree where it is asked.
func (i *Interruption) Activity() string {
	return fmt.Sprintf("%s/%d/%s", i.Rollout, i.Cell.Step+1, i.Cell.Member)
}
