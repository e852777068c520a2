package deploy

import (
	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/resource"
)

// whyAnswer is the truth about one machine, with a sentence for each part.
type whyAnswer struct {
	MachineID     string `json:"MachineId"`
	Name          string
	IsDisabled    bool
	HealthStatus  string
	StatusSummary string
	Link          whyLink
	Runs          []whyRuns
	Waits         []whyWaits
	History       []whyPart // newest first
	Links         api.Links
}

// whyLink is the link to the machine's agent: Connected, Lost, Duplicate,
// Quarantined, or "" when there never was one.
type whyLink struct {
	State  string
	Since  resource.Time
	Reason string
}

type whyRuns struct {
	ProjectID            string `json:"ProjectId"`
	ProjectName          string
	EnvironmentID        string `json:"EnvironmentId"`
	EnvironmentName      string
	ReleaseID            string `json:"ReleaseId"` // "": it was proved to run none
	ReleaseVersion       string
	Since                resource.Time
	TaskID               string `json:"TaskId"`
	WantedReleaseID      string `json:"WantedReleaseId"`
	WantedReleaseVersion string
	Text                 string
}

type whyWaits struct {
	Kind         string
	TaskID       string `json:"TaskId"`
	HolderTaskID string `json:"HolderTaskId"`
	Since        resource.Time
	Until        resource.Time
	Text         string
}

type whyPart struct {
	TaskID      string `json:"TaskId"`
	Description string
	State       string
	At          resource.Time
	Outcome     string
	Text        string
}

func (h *handler) why(c *api.Call) (*whyAnswer, error) {
	why, err := h.deploy.Why(c.Context(), c.Caller, c.Space, c.Param("id"))
	if err != nil {
		return nil, err
	}
	m := why.Machine
	answer := &whyAnswer{
		MachineID: m.ID, Name: m.Name, IsDisabled: m.IsDisabled, HealthStatus: m.HealthStatus, StatusSummary: m.StatusSummary,
		Link: whyLink{string(why.Link.State), resource.Time(why.Link.Since), why.Link.Reason},
		Runs: []whyRuns{}, Waits: []whyWaits{}, History: []whyPart{}, Links: api.Links{"Self": c.Path(), "Machine": api.PathOf(m)},
	}
	for i := range why.Runs {
		r := &why.Runs[i]
		answer.Runs = append(answer.Runs, whyRuns{
			r.Project.ID, r.Project.Name, r.Environment.ID, r.Environment.Name, r.Release.ID, r.Release.Name,
			resource.Time(r.Since), r.TaskID, r.Wanted.ID, r.Wanted.Name, r.Text,
		})
	}
	for i := range why.Waits {
		w := &why.Waits[i]
		answer.Waits = append(answer.Waits, whyWaits{string(w.Kind), w.TaskID, w.Holder, resource.Time(w.Since), resource.Time(w.Until), w.Text})
	}
	for i := range why.Parts {
		p := &why.Parts[i]
		answer.History = append(answer.History, whyPart{p.TaskID, p.Description, string(p.State), resource.Time(p.At), p.Outcome, p.Text})
	}
	return answer, nil
}
