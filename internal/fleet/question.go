package fleet

import (
	"context"
	"errors"
	"sync"
)

// questions let one check at a time ask a machine: an agent refuses more than
// a few at once and would look unwell. Checks that come meanwhile share the
// next answer, so that however many are queued, a slow machine is asked as
// often as it can answer.
type questions struct {
	mu sync.Mutex
	by map[string]*question
}

// question is one time that a machine is asked; next is the time after it that
// somebody already waits for.
type question struct {
	done   chan struct{}
	next   *question
	probed Probed
	err    error
}

// errNotAsked says that who was to ask the machine went away.
var errNotAsked = errors.New("the machine was not asked")

// ask returns an answer that the machine gave to a question put to it after
// ask was called.
func (q *questions) ask(ctx context.Context, machine string, probe func() (Probed, error)) (Probed, error) {
	for {
		mine, before, leads := q.join(machine)
		if leads {
			return q.lead(ctx, machine, mine, before, probe)
		}
		select {
		case <-ctx.Done():
			return Probed{}, context.Cause(ctx)
		case <-mine.done:
		}
		if !errors.Is(mine.err, errNotAsked) {
			return mine.probed, mine.err
		}
	}
}

// join finds the question whose answer counts: a new one where the machine is
// not being asked or nobody waits for the next time yet. Who makes it leads: he
// asks once the one before it is done.
func (q *questions) join(machine string) (mine, before *question, leads bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.by[machine]
	if now != nil && now.next != nil {
		return now.next, now, false
	}
	mine = &question{done: make(chan struct{})}
	if now == nil {
		q.by[machine] = mine
	} else {
		now.next = mine
	}
	return mine, now, true
}

func (q *questions) lead(ctx context.Context, machine string, mine, before *question, probe func() (Probed, error)) (Probed, error) {
	mine.err = errNotAsked
	if before != nil {
		select {
		case <-before.done:
		case <-ctx.Done():
			// The ones who share it lead anew; its place is kept until its turn.
			go func() { <-before.done; q.end(machine, mine) }()
			return Probed{}, context.Cause(ctx)
		}
	}
	probed, err := probe()
	if ctx.Err() == nil {
		mine.probed, mine.err = probed, err
	}
	q.end(machine, mine)
	return probed, err
}

func (q *questions) end(machine string, mine *question) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if mine.next != nil {
		q.by[machine] = mine.next
	} else {
		delete(q.by, machine)
	}
	close(mine.done)
}
