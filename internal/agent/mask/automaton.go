package mask

import "slices"

// automaton finds every pattern in one pass (Aho and Corasick 1975). State 0
// is the root; a state's depth is how many bytes of text it stands for.
type automaton struct {
	fail  []int32
	depth []int32
	out   []int32 // length of the longest pattern that ends here, 0 for none
	only  []int32 // the only child, 0 for none, -n-1 for table n
	label []byte  // of the only child
	table [][256]int32
	pairs [1024]uint64 // two bytes with which a pattern starts
}

func newAutomaton(secrets []string) *automaton {
	a := &automaton{}
	a.node(0)
	a.only[0] = a.addTable()
	for _, secret := range secrets {
		for _, p := range patterns(secret) {
			a.add(opaque(p))
		}
	}
	a.link()
	return a
}

func (a *automaton) node(depth int32) int32 {
	a.fail, a.depth, a.out = append(a.fail, 0), append(a.depth, depth), append(a.out, 0)
	a.only, a.label = append(a.only, 0), append(a.label, 0)
	return int32(len(a.fail) - 1)
}

func (a *automaton) addTable() int32 {
	a.table = append(a.table, [256]int32{})
	return -int32(len(a.table))
}

func (a *automaton) add(p []byte) {
	if len(p) < minRunes {
		return
	}
	pair := int(p[0])<<8 | int(p[1])
	a.pairs[pair>>6] |= 1 << (pair & 63)
	state := int32(0)
	for _, b := range p {
		next := a.child(state, b)
		if next == 0 {
			next = a.node(a.depth[state] + 1)
			a.setChild(state, b, next)
		}
		state = next
	}
	a.out[state] = int32(len(p))
}

func (a *automaton) child(state int32, b byte) int32 {
	switch only := a.only[state]; {
	case only < 0:
		return a.table[-only-1][b]
	case only > 0 && a.label[state] == b:
		return only
	default:
		return 0
	}
}

func (a *automaton) setChild(state int32, b byte, next int32) {
	only := a.only[state]
	if only == 0 {
		a.only[state], a.label[state] = next, b
		return
	}
	if only > 0 {
		t := a.addTable()
		a.table[-t-1][a.label[state]] = only
		a.only[state], only = t, t
	}
	a.table[-only-1][b] = next
}

// link sets the fail states breadth first.
func (a *automaton) link() {
	queue := []int32{0}
	for len(queue) > 0 {
		state := queue[0]
		queue = queue[1:]
		a.eachChild(state, func(b byte, next int32) {
			if state != 0 {
				a.fail[next] = a.next(a.fail[state], b)
			}
			a.out[next] = max(a.out[next], a.out[a.fail[next]])
			queue = append(queue, next)
		})
	}
}

func (a *automaton) eachChild(state int32, visit func(byte, int32)) {
	switch only := a.only[state]; {
	case only < 0:
		for b, next := range a.table[-only-1] {
			if next != 0 {
				visit(byte(b), next)
			}
		}
	case only > 0:
		visit(a.label[state], only)
	}
}

func (a *automaton) next(state int32, b byte) int32 {
	for {
		if next := a.child(state, b); next != 0 || state == 0 {
			return next
		}
		state = a.fail[state]
	}
}

// settle leaves a state from which no longer pattern can come, so that a text
// that ends in a secret is not held back.
func (a *automaton) settle(state int32) int32 {
	for state != 0 && a.only[state] == 0 {
		state = a.fail[state]
	}
	return state
}

func (a *automaton) mayStart(b, next byte) bool {
	pair := int(b)<<8 | int(next)
	return a.pairs[pair>>6]>>(pair&63)&1 != 0
}

// opaque drops from p what the masker looks through.
func opaque(p string) []byte {
	var look glass
	return slices.DeleteFunc([]byte(p), look.through)
}

// glass tells the bytes that a secret may be broken by on a terminal without
// changing how it reads: line ends and control sequences such as colours
// (abuse 69). Longer escapes (titles, links) are text like any other, since
// they may hold a secret themselves.
type glass struct {
	state uint8 // 0 text, 1 after ESC, 2.. inside a control sequence
}

const maxControl = 34

func (g *glass) through(b byte) bool {
	switch {
	case b == '\n' || b == '\r':
		g.state = 0
		return true
	case b == 0x1b:
		g.state = 1
		return true
	case g.state == 0:
		return false
	case g.state == 1 && b == '[':
		g.state = 2
		return true
	case g.state >= 2 && g.state < maxControl && 0x20 <= b && b < 0x40:
		g.state++
		return true
	}
	inside := g.state >= 2
	g.state = 0
	return inside && 0x40 <= b && b <= 0x7e
}
