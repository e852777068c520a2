package deploy

import (
	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/api/route"
	"github.com/slipwayhq/slipway/internal/authz"
	"github.com/slipwayhq/slipway/internal/resource"
)

func (h *handler) restoreRoutes() []api.Route {
	return []api.Route{
		api.Get("/restore", authz.AdministerSystem, "Show the last restore from a backup, and what agents say that these data do not", h.lastRestore).At(route.Global),
		api.Post("/restore/confirm", authz.AdministerSystem, "Let machines catch up by themselves again after a restore", h.confirmRestore).Bodiless().Answers(200).At(route.Global),
	}
}

// restoreAnswer is the last time that the data were put back from a backup.
type restoreAnswer struct {
	Epoch       int64
	BackupAt    resource.Time
	RestoredAt  resource.Time
	IsHeld      bool // nothing starts by itself until it is confirmed
	ConfirmedAt resource.Time
	ConfirmedBy string
	ClosedTasks []string
	Unmatched   []unmatchedAnswer
	Links       api.Links
}

// unmatchedAnswer is an attempt that an agent has and these data do not, or
// whose end they do not know.
type unmatchedAnswer struct {
	MachineID   string `json:"MachineId"`
	MachineName string
	AttemptID   string `json:"AttemptId"`
	SeenAt      resource.Time
	State       string // Running or Ended
	Outcome     string
	Reason      string
}

func (h *handler) lastRestore(c *api.Call) (*restoreAnswer, error) {
	last, err := h.deploy.LastRestored(c.Context(), c.Caller)
	if err != nil {
		return nil, err
	}
	answer := &restoreAnswer{
		Epoch: last.Epoch, BackupAt: resource.Time(last.BackupAt), RestoredAt: resource.Time(last.RestoredAt), IsHeld: last.ConfirmedAt == 0,
		ConfirmedAt: resource.Time(last.ConfirmedAt), ConfirmedBy: last.ConfirmedBy, ClosedTasks: list(last.Tasks), Unmatched: []unmatchedAnswer{},
		Links: api.Links{"Self": "/api/restore", "Confirm": "/api/restore/confirm"},
	}
	for _, u := range last.Unmatched {
		answer.Unmatched = append(answer.Unmatched, unmatchedAnswer{u.Machine, last.Machines[u.Machine], u.Attempt, resource.Time(u.SeenAt), u.State, u.Outcome, u.Reason})
	}
	return answer, nil
}

func (h *handler) confirmRestore(c *api.Call, _ api.None) (*restoreAnswer, error) {
	if err := h.deploy.ConfirmRestored(c.Context(), c.Caller); err != nil {
		return nil, err
	}
	return h.lastRestore(c)
}
