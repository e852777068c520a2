package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/app"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/rollout"
	"github.com/slipwayhq/slipway/internal/store"
)

// Interruption is a question that a task waits on.
type Interruption = store.Interruption

// InterruptionQuery narrows a list of questions.
type InterruptionQuery = store.InterruptionQuery

// maxNotes bounds the notes of an answer, in bytes (abuse 67).
const maxNotes = 64 << 10

func questionScope(i *Interruption) authz.Scope {
	return authz.Scope{Space: i.SpaceID, Project: i.ProjectID, Environment: i.EnvironmentID, Tenant: i.TenantID}
}

// Interruptions lists the questions that the caller may see, newest first.
func (s *Service) Interruptions(ctx context.Context, who app.Caller, space string, q InterruptionQuery) (list []Interruption, total int, err error) {
	q.Spaces = []string{space}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		list, total, err = store.ListInterruptions(tx, q)
		return err
	})
	visible := list[:0]
	for i := range list {
		if authz.Can(who.Subject, authz.InterruptionView, questionScope(&list[i])) {
			visible = append(visible, list[i])
		} else {
			total--
		}
	}
	return visible, total, err
}

// questionFor reads a question that the caller may see; one of another space,
// or one that he may not see, is missing (abuse 30).
func questionFor(tx *store.Tx, who app.Caller, space, id string, p authz.Permission) (*Interruption, error) {
	q, err := store.GetInterruption(tx, id)
	if err != nil {
		return nil, err
	}
	if q.SpaceID != space || !authz.Can(who.Subject, authz.InterruptionView, questionScope(q)) {
		return nil, resource.Missing(id)
	}
	return q, app.Allow(who, p, questionScope(q))
}

// Interruption reads one question.
func (s *Service) Interruption(ctx context.Context, who app.Caller, space, id string) (q *Interruption, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		q, err = questionFor(tx, who, space, id, authz.InterruptionView)
		return err
	})
	return q, err
}

// TakeResponsibility makes the caller the one who answers the question, also in
// the place of somebody else.
func (s *Service) TakeResponsibility(ctx context.Context, who app.Caller, space, id string) (q *Interruption, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(who.Actor())
		if q, err = questionFor(tx, who, space, id, authz.InterruptionSubmit); err != nil {
			return err
		}
		if q.Responsible == who.UserID && q.Pending() {
			return nil
		}
		if err := store.TakeResponsibility(tx, id, who.UserID, who.Username); err != nil {
			return err
		}
		if err := audit(tx, resource.EventInterruptionTaken, fmt.Sprintf("%s answers '%s'", who.Username, q.Title), space, id, q.Rollout); err != nil {
			return err
		}
		q, err = store.GetInterruption(tx, id)
		return err
	})
	return q, err
}

// AnswerInterruption stores the caller's answer to a question that he has taken
// responsibility for. The first answer wins; a later one is a Conflict
// (abuse 95).
func (s *Service) AnswerInterruption(ctx context.Context, who app.Caller, space, id, guidance, notes string) (q *Interruption, err error) {
	if len(notes) > maxNotes {
		return nil, resource.Errorf(resource.TooLarge, "The notes are longer than %d bytes. Shorten them.", maxNotes)
	}
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		tx.SetActor(who.Actor())
		if q, err = questionFor(tx, who, space, id, authz.InterruptionSubmit); err != nil {
			return err
		}
		chosen, err := checkAnswer(q, who, guidance)
		if err != nil {
			return err
		}
		if err := store.AnswerInterruption(tx, q, chosen, notes); err != nil {
			return err
		}
		if err := store.Audit(tx, store.AuditRecord{
			Category: resource.EventInterruptionAnswer, SpaceID: space, Message: fmt.Sprintf("'%s' was answered with %s", q.Title, chosen), Details: notes,
			Related: []string{id, q.Rollout, q.DeploymentID, q.ProjectID, q.EnvironmentID, q.Cell.Member},
		}); err != nil {
			return err
		}
		q, err = store.GetInterruption(tx, id)
		return err
	})
	return q, err
}

func checkAnswer(q *Interruption, who app.Caller, guidance string) (rollout.Guidance, error) {
	at := slices.IndexFunc(q.Choices, func(g rollout.Guidance) bool { return strings.EqualFold(string(g), strings.TrimSpace(guidance)) })
	switch {
	case !q.Pending():
		return "", resource.Errorf(resource.Conflict, "'%s' has been answered, or is not asked any more. Look at the task to see how it went on.", q.Title)
	case q.Responsible == "":
		return "", resource.Errorf(resource.Conflict, "Nobody has taken responsibility for '%s'. Take it, then answer.", q.Title)
	case q.Responsible != who.UserID:
		return "", resource.Errorf(resource.Forbidden, "%s has taken responsibility for '%s'. Take it over before you answer.", q.ResponsibleName, q.Title)
	case at < 0:
		var names []string
		for _, g := range q.Choices {
			names = append(names, string(g))
		}
		return "", resource.Errorf(resource.Invalid, "'%s' is no answer to '%s'. Choose one of: %s.", guidance, q.Title, strings.Join(names, ", "))
	}
	return q.Choices[at], nil
}

// ResponsibleUser is the user who answers a question; NotFound when nobody has
// taken it on.
func (s *Service) ResponsibleUser(ctx context.Context, who app.Caller, space, id string) (user *resource.User, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		q, err := questionFor(tx, who, space, id, authz.InterruptionView)
		if err != nil {
			return err
		}
		if q.Responsible == "" {
			return resource.Missing(id)
		}
		user, err = store.Get[resource.User](tx, q.Responsible)
		return err
	})
	return user, err
}
