package agent

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/slipwayhq/slipway/internal/agentrpc"
)

// Apply folds one durable record in. It fails only on records that no version
// of the agent wrote.
func (a *Attempts) Apply(r Record) error {
	if r.Epoch > a.epochs[r.Rollout] {
		a.epochs[r.Rollout] = r.Epoch
	}
	a.touch(r.Rollout)
	if r.Kind == RecordEpoch {
		return nil
	}
	at := a.byID[r.Attempt]
	if at == nil {
		at = &Attempt{ID: r.Attempt}
		a.byID[r.Attempt] = at
	}
	if r.Rollout != "" {
		at.Rollout, at.Epoch = r.Rollout, r.Epoch
	}
	if r.Payload != nil {
		at.Payload = r.Payload
	}
	switch r.Kind {
	case RecordStarting:
		at.Phase, at.Exclusive = Starting, r.Exclusive
	case RecordRunning:
		at.Phase, at.Shim = Running, r.Shim
	case RecordEnded:
		at.Phase, at.Result = Ended, new(agentrpc.Result)
		if err := proto.Unmarshal(r.Result, at.Result); err != nil {
			return fmt.Errorf("read result of %s: %w: %w", r.Attempt, ErrDamaged, err)
		}
	case RecordClosed:
		at.Phase = Closed
	case RecordForgotten:
		a.byID[r.Attempt] = forgotten(r.Attempt)
		a.forgotten = append(a.forgotten, r.Attempt)
		a.trim()
	case RecordEpoch:
	default:
		return fmt.Errorf("read journal: %w: a record of unknown kind %q; was a newer agent here?", ErrDamaged, r.Kind)
	}
	return nil
}

// touch moves a rollout to the end of those whose epochs are kept.
func (a *Attempts) touch(rollout string) {
	if rollout == "" || (len(a.rollouts) > 0 && a.rollouts[len(a.rollouts)-1] == rollout) {
		return
	}
	if i := slices.Index(a.rollouts, rollout); i >= 0 {
		a.rollouts = slices.Delete(a.rollouts, i, i+1)
	}
	a.rollouts = append(a.rollouts, rollout)
	a.trim()
}

// trim drops the oldest ids and epochs over the limits. An epoch stays while
// the journal holds an attempt of its rollout.
func (a *Attempts) trim() {
	if over := len(a.forgotten) - keepForgotten; over > 0 {
		for _, id := range a.forgotten[:over] {
			delete(a.byID, id)
		}
		a.forgotten = slices.Delete(a.forgotten, 0, over)
	}
	if len(a.rollouts) <= keepEpochs {
		return
	}
	over := len(a.rollouts) - keepEpochs*3/4
	used := map[string]bool{}
	for _, at := range a.byID {
		used[at.Rollout] = true
	}
	a.rollouts = slices.DeleteFunc(a.rollouts, func(rollout string) bool {
		if used[rollout] || over == 0 {
			return false
		}
		over--
		delete(a.epochs, rollout)
		return true
	})
}

// Records gives the shortest list whose fold is a: what compaction writes.
func (a *Attempts) Records() ([]Record, error) {
	var list []Record
	for _, rollout := range a.rollouts {
		list = append(list, Record{Kind: RecordEpoch, Rollout: rollout, Epoch: a.epochs[rollout]})
	}
	for _, id := range a.forgotten {
		list = append(list, Record{Kind: RecordForgotten, Attempt: id})
	}
	ids := make([]string, 0, len(a.byID))
	for id, at := range a.byID {
		if at.Phase != Forgotten {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		records, err := a.byID[id].records()
		if err != nil {
			return nil, err
		}
		list = append(list, records...)
	}
	return list, nil
}

func (at *Attempt) records() ([]Record, error) {
	head := Record{Attempt: at.ID, Rollout: at.Rollout, Epoch: at.Epoch, Payload: at.Payload}
	switch at.Phase {
	case Closed:
		head.Kind = RecordClosed
		return []Record{head}, nil
	case Ended:
		text, err := proto.Marshal(at.Result)
		if err != nil {
			return nil, fmt.Errorf("encode result of %s: %w", at.ID, err)
		}
		head.Kind, head.Result = RecordEnded, text
		return []Record{head}, nil
	case Starting, Running:
		head.Kind, head.Exclusive = RecordStarting, at.Exclusive
		if at.Phase == Starting {
			return []Record{head}, nil
		}
		return []Record{head, {Kind: RecordRunning, Attempt: at.ID, Shim: at.Shim}}, nil
	case Unseen, Forgotten:
	}
	return nil, nil
}
