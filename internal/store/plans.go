package store

import (
	"sync"

	"github.com/slipwayhq/slipway/internal/rollout"
)

// maxPlans is how many plans are kept in memory.
const maxPlans = 256

// plans keeps the plans of recent rollouts: a stored plan never changes, and
// every turn and every delivery reads one.
type plans struct {
	mu   sync.Mutex
	byID map[string]*rollout.Plan
}

func (p *plans) get(id string) *rollout.Plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byID[id]
}

func (p *plans) put(id string, plan *rollout.Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byID == nil {
		p.byID = map[string]*rollout.Plan{}
	}
	if len(p.byID) >= maxPlans {
		for other := range p.byID { // any one; it is read again when needed
			delete(p.byID, other)
			break
		}
	}
	p.byID[id] = plan
}
