package deploy

import (
	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/resource"
)

// boardAnswer is which release runs where. The wire contract's dashboard may
// have no members of our own (octopus-api.md 2.19), so this is a route beside it.
type boardAnswer struct {
	Items []boardItem
	Links api.Links
}

type boardItem struct {
	ProjectID            string `json:"ProjectId"`
	ProjectName          string
	EnvironmentID        string `json:"EnvironmentId"`
	EnvironmentName      string
	WantedReleaseID      string `json:"WantedReleaseId"` // "": no deployment has succeeded yet
	WantedReleaseVersion string
	Since                resource.Time
	TaskID               string `json:"TaskId"`
	LatestTaskID         string `json:"LatestTaskId"`
	LatestReleaseVersion string
	LatestState          deploy.TaskState
	Machines             []boardMachine
}

type boardMachine struct {
	ID             string `json:"Id"`
	Name           string
	HealthStatus   string
	ReleaseID      string `json:"ReleaseId"` // "": it was proved to run none
	ReleaseVersion string
	Since          resource.Time
	TaskID         string `json:"TaskId"`
	IsWanted       bool   // it runs the wanted release
	OwedBecause    string
}

func (h *handler) releaseBoard(c *api.Call) (*boardAnswer, error) {
	board, err := h.deploy.Board(c.Context(), c.Caller, c.Space, c.List("projects"), c.List("environments"))
	if err != nil {
		return nil, err
	}
	answer := &boardAnswer{Items: []boardItem{}, Links: api.Links{"Self": c.Path()}}
	for i := range board.Cells {
		b := &board.Cells[i]
		item := boardItem{
			ProjectID: b.Project.ID, ProjectName: b.Project.Name, EnvironmentID: b.Environment.ID, EnvironmentName: b.Environment.Name,
			WantedReleaseID: b.Wanted.ID, WantedReleaseVersion: b.Wanted.Name, Since: resource.Time(b.Since), TaskID: b.TaskID,
			LatestTaskID: b.Latest.Task.ID, LatestReleaseVersion: b.LatestVersion, LatestState: b.Latest.Task.State, Machines: []boardMachine{},
		}
		for _, m := range b.Machines {
			item.Machines = append(item.Machines, boardMachine{
				m.ID, m.Name, m.Health, m.Release.ID, m.Release.Name, resource.Time(m.Since), m.TaskID, m.Release.ID != "" && m.Release.ID == b.Wanted.ID, m.Owed,
			})
		}
		answer.Items = append(answer.Items, item)
	}
	return answer, nil
}
