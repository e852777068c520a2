package mask

import "math"

// merged reads the bytes of all lanes in the order they came, to find secrets
// of which one part went to one stream and the rest to another (abuse 69).
// While the bytes of a possible secret all come from one lane it agrees with
// that lane's own state and costs nothing: owner is that lane.
type merged struct {
	owner *Lane
	state int32
	queue []place // of the opaque bytes state stands for, without an owner
}

type place struct {
	lane   *Lane
	number int64
}

// idle says that no byte of any lane is the possible beginning of a secret.
func (m *merged) idle() bool { return m.owner == nil && m.state == 0 }

// step follows the byte that lane has just taken; before is the lane's state
// without it.
func (m *merged) step(lane *Lane, b byte, before int32) {
	if m.owner == lane || m.idle() && before == 0 {
		m.owner = lane
		if lane.state == 0 {
			m.owner = nil
		}
		return
	}
	if m.owner != nil {
		m.unfold()
	}
	auto := lane.log.auto
	m.state = auto.next(m.state, b)
	m.queue = append(m.queue, place{lane, lane.seen - 1})
	markAll(m.queue[len(m.queue)-int(auto.out[m.state]):])
	m.state = auto.settle(m.state)
	dropped := m.queue[:len(m.queue)-int(auto.depth[m.state])]
	m.queue = m.queue[len(dropped):]
	if m.state == lane.state && m.allFrom(lane) {
		m.owner, m.state, m.queue = lane, 0, nil
		if lane.state == 0 {
			m.owner = nil
		}
	}
	if len(dropped) == 0 {
		return
	}
	for _, other := range lane.log.lanes { // each once, however many of its bytes were dropped
		if other != lane {
			other.release()
		}
	}
}

// markAll masks places, each run of one lane's bytes in one go.
func markAll(found []place) {
	for len(found) > 0 {
		first, n := found[0], 1
		for n < len(found) && found[n] == (place{first.lane, first.number + int64(n)}) {
			n++
		}
		first.lane.mark(first.number, first.number+int64(n))
		found = found[n:]
	}
}

// unfold makes the queue explicit, from the bytes its owner holds.
func (m *merged) unfold() {
	owner := m.owner
	m.owner, m.state, m.queue = nil, owner.state, m.queue[:0]
	for n := owner.seen - int64(owner.log.auto.depth[owner.state]); n < owner.seen; n++ {
		m.queue = append(m.queue, place{owner, n})
	}
}

func (m *merged) allFrom(lane *Lane) bool {
	for _, p := range m.queue {
		if p.lane != lane {
			return false
		}
	}
	return true
}

// keeps is the number of the first of lane's bytes that a merged secret may
// still reach.
func (m *merged) keeps(lane *Lane) int64 {
	for _, p := range m.queue {
		if p.lane == lane {
			return p.number
		}
	}
	return math.MaxInt64
}

// forget starts over, and lets the lanes go on.
func (m *merged) forget(l *Log) {
	*m = merged{}
	for _, lane := range l.lanes {
		lane.release()
	}
}
