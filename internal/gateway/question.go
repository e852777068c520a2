package gateway

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/slipwayhq/slipway/internal/agentrpc"
	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

const (
	// questionsAtOnce bounds the questions of other nodes that are under way.
	questionsAtOnce = 1000
	// questionMost is how long one may take: longer than whoever asked waits.
	questionMost = 10 * time.Minute
)

// question is what one node asks an agent through the node that has its link.
type question struct {
	Probe    json.RawMessage `json:",omitempty"`
	Describe json.RawMessage `json:",omitempty"`
}

// afar is an agent whose link another node has. It answers what anybody may ask
// of any agent, Probe and Describe; work is delivered by the node with the link.
type afar struct {
	Agent // nil: nothing else is asked of it

	g       *Gateway
	machine string
}

func (a afar) Probe(ctx context.Context, req *agentrpc.ProbeRequest) (*agentrpc.ProbeResponse, error) {
	body, err := protojson.Marshal(req)
	if err != nil {
		return nil, err
	}
	res := &agentrpc.ProbeResponse{}
	return res, a.g.askAfar(ctx, a.machine, question{Probe: body}, res)
}

func (a afar) Describe(ctx context.Context, req *agentrpc.DescribeRequest) (*agentrpc.DescribeResponse, error) {
	body, err := protojson.Marshal(req)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 2*quick, errNoAnswer)
	defer cancel()
	res := &agentrpc.DescribeResponse{}
	return res, a.g.askAfar(ctx, a.machine, question{Describe: body}, res)
}

// elsewhere says whether another living node has the machine's link.
func (g *Gateway) elsewhere(ctx context.Context, machine string) (bool, error) {
	if !g.shared() {
		return false, nil
	}
	var seat store.Seat
	err := g.db.Read(ctx, func(tx *store.Tx) (err error) {
		seat, err = store.GetSeat(tx, machine)
		return err
	})
	return err == nil && seat.State == store.SessionConnected && seat.Elsewhere(g.node), err
}

// askAfar stores a question and waits for the answer of the node that has the
// machine's link, for as long as there is one.
func (g *Gateway) askAfar(ctx context.Context, machine string, q question, into proto.Message) error {
	text, err := json.Marshal(q)
	if err != nil {
		return err
	}
	row := store.Question{ID: rand.Text(), Machine: machine, Question: string(text)}
	wake, stop := g.db.Watch(store.TopicQuestions + "/" + row.ID)
	defer stop()
	if err := g.db.Write(ctx, func(tx *store.Tx) error { return store.Ask(tx, &row) }); err != nil {
		return err
	}
	defer func() { // also when nobody waits any more
		_ = g.db.Write(g.group.run, func(tx *store.Tx) error { return store.TakeBack(tx, row.ID) })
	}()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-wake:
		case <-time.After(lookAgain):
		}
		now, err := g.answerOf(ctx, row.ID)
		if err != nil {
			return err
		}
		if now.Answered && now.Error != "" {
			return errors.New(now.Error)
		}
		if now.Answered {
			return protojson.Unmarshal([]byte(now.Answer), into)
		}
		if there, err := g.elsewhere(ctx, machine); err == nil && !there {
			return errors.New("the server that it was linked to ended")
		}
	}
}

func (g *Gateway) answerOf(ctx context.Context, id string) (q *store.Question, err error) {
	err = g.db.Read(ctx, func(tx *store.Tx) (err error) {
		q, err = store.GetQuestion(tx, id)
		return err
	})
	return q, err
}

// watchQuestions answers what other nodes ask the agents that are linked here.
func (g *Gateway) watchQuestions(ctx context.Context) {
	wake, stop := g.db.Watch(store.TopicQuestions)
	defer stop()
	var under sync.Map // by id
	var all sync.WaitGroup
	defer all.Wait()
	slots := make(Slots, questionsAtOnce)
	for {
		var list []store.Question
		err := g.db.Read(ctx, func(tx *store.Tx) (err error) {
			list, err = store.OpenQuestions(tx, g.node)
			return err
		})
		if err != nil && ctx.Err() == nil {
			g.log.ErrorContext(ctx, "read questions of other nodes", "error", err)
		}
		for i := range list {
			q := &list[i]
			s := g.seats.of(q.Machine).taken.Load()
			if _, busy := under.LoadOrStore(q.ID, true); busy || s == nil {
				if !busy {
					under.Delete(q.ID)
				}
				continue
			}
			all.Go(func() {
				defer under.Delete(q.ID)
				if free, err := slots.take(ctx); err == nil {
					g.answer(ctx, s.agent, q)
					free()
				}
			})
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-time.After(lookAgain):
		}
	}
}

func (g *Gateway) answer(ctx context.Context, agent Agent, q *store.Question) {
	ctx, cancel := context.WithTimeoutCause(ctx, questionMost, errNoAnswer)
	defer cancel()
	answer, err := pose(ctx, agent, q.Question)
	if ctx.Err() != nil {
		return // whoever asked hears that this node ended
	}
	if q.Answer = answer; err != nil {
		q.Error = clip(err.Error(), maxReason)
	}
	if err := g.db.Write(ctx, func(tx *store.Tx) error { return store.Answer(tx, q) }); err != nil && ctx.Err() == nil {
		g.log.ErrorContext(ctx, "answer another node", "machine", q.Machine, "error", err)
	}
}

// pose asks the agent what the text of a question says.
func pose(ctx context.Context, agent Agent, text string) (string, error) {
	var q question
	if err := json.Unmarshal([]byte(text), &q); err != nil {
		return "", fmt.Errorf("read question: %w", err)
	}
	var answer proto.Message
	var err error
	switch {
	case q.Probe != nil:
		req := &agentrpc.ProbeRequest{}
		if err = protojson.Unmarshal(q.Probe, req); err == nil {
			answer, err = agent.Probe(ctx, req)
		}
	case q.Describe != nil:
		req := &agentrpc.DescribeRequest{}
		if err = protojson.Unmarshal(q.Describe, req); err == nil {
			answer, err = agent.Describe(ctx, req)
		}
	default:
		err = resource.Errorf(resource.Invalid, "This server does not know how to ask that. Upgrade it.")
	}
	if err != nil {
		return "", err
	}
	out, err := protojson.Marshal(answer)
	return string(out), err
}
