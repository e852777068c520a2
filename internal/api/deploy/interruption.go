package deploy

import (
	"net/url"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (h *handler) interruptionRoutes() []api.Route {
	return []api.Route{
		api.Get("/interruptions", authz.InterruptionView, "List the questions that tasks wait on", h.listInterruptions).With("regarding", "pendingOnly", "ids").Paged(),
		api.Get("/interruptions/all", authz.InterruptionView, "List all questions that tasks wait on", h.allInterruptions).With("regarding", "pendingOnly", "ids"),
		api.Get("/interruptions/{id}", authz.InterruptionView, "Get a question", h.getInterruption),
		api.Post("/interruptions/{id}/submit", authz.InterruptionSubmit, "Answer a question", h.answerInterruption).Answers(200),
		api.Get("/interruptions/{id}/responsible", authz.InterruptionView, "Get the user who answers a question", h.responsible).Showing(resource.UserKind, api.One),
		api.Put("/interruptions/{id}/responsible", authz.InterruptionSubmit, "Take responsibility for a question", h.takeResponsibility).Bodiless(),
	}
}

// interruptionAnswer is a question as the wire has it (octopus-api.md 2.21).
// What follows IsLinkedToOtherInterruption is Slipway's own.
type interruptionAnswer struct {
	ID                          string `json:"Id"`
	SpaceID                     string `json:"SpaceId"`
	Title                       string
	Created                     resource.Time
	IsPending                   bool
	Form                        questionForm
	RelatedDocumentIDs          []string `json:"RelatedDocumentIds"`
	ResponsibleTeamIDs          []string `json:"ResponsibleTeamIds"`
	ResponsibleUserID           string   `json:"ResponsibleUserId"`
	CanTakeResponsibility       bool
	HasResponsibility           bool
	TaskID                      string `json:"TaskId"`
	CorrelationID               string `json:"CorrelationId"`
	IsLinkedToOtherInterruption bool
	Type                        string
	MachineID                   string        `json:"MachineId"`
	Deadline                    resource.Time `json:",omitzero"`
	Answered                    resource.Time `json:",omitzero"`
	ResponsibleUserName         string        `json:",omitempty"`
	// ClosedBecause says why it is not asked any more.
	ClosedBecause string `json:",omitempty"`
	Links         api.Links
}

type questionForm struct {
	Values   map[string]string
	Elements []questionElement
}

type questionElement struct {
	Name            string
	IsValueRequired bool
	Control         questionControl
}

type questionControl struct {
	Type    string
	Text    string           `json:",omitempty"`
	Label   string           `json:",omitempty"`
	Buttons []questionButton `json:",omitempty"`
}

type questionButton struct {
	Text                 string
	Value                string
	RequiresConfirmation bool
}

func interruptionOf(c *api.Call, q *deploy.Interruption) interruptionAnswer {
	self := "/api/" + url.PathEscape(q.SpaceID) + "/interruptions/" + url.PathEscape(q.ID)
	answer := interruptionAnswer{
		ID: q.ID, SpaceID: q.SpaceID, Title: q.Title, Created: resource.Time(q.AskedAt), IsPending: q.Pending(), Form: formOf(q),
		RelatedDocumentIDs: []string{}, ResponsibleTeamIDs: list(q.Teams), ResponsibleUserID: q.Responsible,
		CanTakeResponsibility: q.Pending() && q.Responsible != c.Caller.UserID, HasResponsibility: q.Responsible != "" && q.Responsible == c.Caller.UserID,
		TaskID: q.Rollout, CorrelationID: q.Activity(), Type: string(q.Kind), MachineID: q.Cell.Member, Deadline: resource.Time(q.DueAt),
		Answered: resource.Time(q.AnsweredAt), ResponsibleUserName: q.ResponsibleName, ClosedBecause: q.ClosedWhy,
		Links: api.Links{"Self": self, "Submit": self + "/submit", "Responsible": self + "/responsible", "Task": "/api/tasks/" + url.PathEscape(q.Rollout)},
	}
	for _, id := range []string{q.DeploymentID, q.Rollout, q.ProjectID, q.EnvironmentID, q.Cell.Member} {
		if id != "" {
			answer.RelatedDocumentIDs = append(answer.RelatedDocumentIDs, id)
		}
	}
	return answer
}

// formOf is the question as a form: what to read, notes, and a button for each
// answer.
func formOf(q *deploy.Interruption) questionForm {
	field := "Guidance"
	if q.Kind == "ManualIntervention" {
		field = "Result"
	}
	buttons := make([]questionButton, 0, len(q.Choices))
	for _, g := range q.Choices {
		buttons = append(buttons, questionButton{Text: string(g), Value: string(g)})
	}
	return questionForm{
		Values: map[string]string{"Instructions": q.Text, "Notes": q.Notes, field: string(q.Guidance)},
		Elements: []questionElement{
			{Name: "Instructions", Control: questionControl{Type: "Paragraph", Text: q.Text}},
			{Name: "Notes", Control: questionControl{Type: "TextArea", Label: "Notes"}},
			{Name: field, IsValueRequired: true, Control: questionControl{Type: "SubmitButtonGroup", Buttons: buttons}},
		},
	}
}

// textsOf makes the texts of a closed set plain ones.
func textsOf[T ~string](values []T) []string {
	texts := make([]string, 0, len(values))
	for _, v := range values {
		texts = append(texts, string(v))
	}
	return texts
}

func (h *handler) findInterruptions(c *api.Call, skip, take int) ([]interruptionAnswer, int, error) {
	found, total, err := h.deploy.Interruptions(c.Context(), c.Caller, c.Space, deploy.InterruptionQuery{
		IDs: c.List("ids"), Regarding: c.Text("regarding"), PendingOnly: c.Flag("pendingOnly"), Skip: skip, Take: take,
	})
	answers := make([]interruptionAnswer, 0, len(found))
	for i := range found {
		answers = append(answers, interruptionOf(c, &found[i]))
	}
	return answers, total, err
}

func (h *handler) listInterruptions(c *api.Call) (api.Collection[interruptionAnswer], error) {
	answers, total, err := h.findInterruptions(c, c.Page().Skip, max(c.Page().Take, 1))
	return api.CollectionOf(c, "Interruption", answers, total), err
}

func (h *handler) allInterruptions(c *api.Call) ([]interruptionAnswer, error) {
	answers, _, err := h.findInterruptions(c, 0, 0)
	return answers, err
}

func (h *handler) getInterruption(c *api.Call) (interruptionAnswer, error) {
	q, err := h.deploy.Interruption(c.Context(), c.Caller, c.Space, c.Param("id"))
	if err != nil {
		return interruptionAnswer{}, err
	}
	return interruptionOf(c, q), nil
}

// answerBody is a filled form: Result answers a manual intervention, Guidance
// anything else.
type answerBody struct {
	Instructions string
	Notes        string
	Result       string
	Guidance     string
}

func (h *handler) answerInterruption(c *api.Call, in answerBody) (interruptionAnswer, error) {
	q, err := h.deploy.AnswerInterruption(c.Context(), c.Caller, c.Space, c.Param("id"), firstOf(in.Guidance, in.Result), in.Notes)
	if err != nil {
		return interruptionAnswer{}, err
	}
	return interruptionOf(c, q), nil
}

func (h *handler) takeResponsibility(c *api.Call, _ api.None) (interruptionAnswer, error) {
	q, err := h.deploy.TakeResponsibility(c.Context(), c.Caller, c.Space, c.Param("id"))
	if err != nil {
		return interruptionAnswer{}, err
	}
	return interruptionOf(c, q), nil
}

func (h *handler) responsible(c *api.Call) (api.Item, error) {
	user, err := h.deploy.ResponsibleUser(c.Context(), c.Caller, c.Space, c.Param("id"))
	if err != nil {
		return api.Item{}, err
	}
	return itemOf(user, nil)
}
