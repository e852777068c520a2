// Package mask replaces secrets in a stream of bytes before anything of it is
// kept or sent (design section 6). A secret is found in several encodings
// (abuse 70), wherever chunks, lines, colours or the two output streams of a
// process break it (abuse 69). Not covered, because they cannot be told from
// other text: reversed, upper-cased or otherwise transformed secrets, and any
// shorter than four characters (abuse 70, 71). Masking guards against
// accidents; a script that wants to leak a secret can.
package mask

import (
	"slices"
	"strings"
)

// Stars is what a masked secret reads as, whatever its length.
const Stars = "********"

// Log masks the streams of one process. It holds bytes back only while they
// may be the beginning of a secret. It is not safe for concurrent use.
type Log struct {
	secrets []string
	auto    *automaton
	lanes   []*Lane
	merged  merged
}

// New makes a Log that masks the secrets.
func New(secrets []string) *Log {
	//guard:mask abuse 69: no secret is in a log; less `newAutomaton(secrets)`, with `newAutomaton(nil)`; seen by ./internal/agent/mask TestMask
	return &Log{secrets: secrets, auto: newAutomaton(secrets)}
}

// Add masks one more secret from here on.
func (l *Log) Add(secret string) {
	if len(patterns(secret)) == 0 || slices.Contains(l.secrets, secret) {
		return
	}
	l.secrets = append(slices.Clip(l.secrets), secret)
	l.auto = newAutomaton(l.secrets)
	for _, lane := range l.lanes {
		lane.restart()
	}
	l.merged = merged{}
}

// Lane adds a stream. sink is called during Write and Flush with masked bytes
// that it must not keep.
func (l *Log) Lane(sink func([]byte)) *Lane {
	lane := &Lane{log: l, sink: sink}
	l.lanes = append(l.lanes, lane)
	return lane
}

// Flush gives out everything held back. What comes after is a new text.
func (l *Log) Flush() {
	l.merged = merged{}
	for _, lane := range l.lanes {
		lane.state, lane.look, lane.blank = 0, glass{}, 0
		lane.release()
		lane.inMask = false
		lane.deliver()
	}
}

// String masks one complete text.
func (l *Log) String(text string) string {
	var b strings.Builder
	once := &Log{auto: l.auto}
	lane := once.Lane(func(p []byte) { b.Write(p) })
	lane.Write([]byte(text))
	once.Flush()
	return b.String()
}

// Lane is one stream of a Log.
type Lane struct {
	log    *Log
	sink   func([]byte)
	look   glass
	state  int32
	seen   int64 // opaque bytes so far
	held   []byte
	flags  []flag // of held
	front  int64  // number of the first opaque byte in held
	blank  int    // transparent bytes in a row
	inMask bool
	out    []byte
}

type flag uint8

const (
	masked flag = 1 << iota
	transparent
)

// maxBlank is how many line ends and colour bytes in a row a secret may be
// broken by.
const maxBlank = 256

// Write takes the next bytes of the stream.
func (s *Lane) Write(p []byte) {
	for len(p) > 0 {
		if s.state == 0 && s.look.state == 0 && len(s.held) == 0 && s.log.merged.idle() {
			n := s.skip(p)
			if n > 0 {
				s.out = append(s.out, p[:n]...)
				s.seen += int64(n)
				s.front = s.seen
				s.inMask, s.blank = false, 0
				p = p[n:]
				continue
			}
		}
		s.step(p[0])
		p = p[1:]
	}
	s.log.deliver()
}

// skip is how many bytes certainly start no secret.
func (s *Lane) skip(p []byte) int {
	auto := s.log.auto
	for i := 0; i+1 < len(p); i++ {
		b, next := p[i], p[i+1]
		if b == 0x1b || next == 0x1b || next == '\n' || next == '\r' || auto.mayStart(b, next) {
			return i
		}
	}
	return max(len(p)-1, 0)
}

func (s *Lane) step(b byte) {
	if s.look.through(b) {
		s.held, s.flags = append(s.held, b), append(s.flags, transparent)
		if s.blank++; s.blank > maxBlank && s.state != 0 {
			s.state = 0
			s.log.merged.forget(s.log)
		}
		s.release()
		return
	}
	s.blank = 0
	s.held, s.flags = append(s.held, b), append(s.flags, 0)
	s.seen++
	before := s.state
	s.state = s.log.auto.next(s.state, b)
	if n := s.log.auto.out[s.state]; n > 0 {
		s.mark(s.seen-int64(n), s.seen)
		s.state = s.log.auto.settle(s.state)
	}
	s.log.merged.step(s, b, before)
	s.release()
}

// mark masks the opaque bytes numbered from to to, those that are held.
func (s *Lane) mark(from, to int64) {
	number := s.seen
	for i := len(s.flags) - 1; i >= 0 && number > from; i-- {
		if s.flags[i]&transparent != 0 {
			continue
		}
		if number--; number < to {
			s.flags[i] |= masked
		}
	}
}

// release moves to out what neither this stream nor the merged one may still
// find to be part of a secret.
func (s *Lane) release() {
	keep := min(s.seen-int64(s.log.auto.depth[s.state]), s.log.merged.keeps(s))
	i := 0
	for ; i < len(s.held); i++ {
		if s.flags[i]&transparent != 0 {
			s.emit(s.held[i], s.flags[i])
			continue
		}
		if s.front >= keep {
			break
		}
		s.emit(s.held[i], s.flags[i])
		s.front++
	}
	if i > 0 {
		s.held = s.held[:copy(s.held, s.held[i:])]
		s.flags = s.flags[:copy(s.flags, s.flags[i:])]
	}
}

func (s *Lane) emit(b byte, f flag) {
	switch {
	case f&masked == 0:
		if f&transparent == 0 || b == '\n' {
			s.inMask = false
		}
		s.out = append(s.out, b)
	case !s.inMask:
		s.inMask = true
		s.out = append(s.out, Stars...)
	}
}

// restart reads what is held again, with a new automaton.
func (s *Lane) restart() {
	s.state = 0
	number := s.front
	for i, b := range s.held {
		if s.flags[i]&transparent != 0 {
			continue
		}
		number++
		s.state = s.log.auto.next(s.state, b)
		if n := int64(s.log.auto.out[s.state]); n > 0 {
			s.mark(number-n, number)
			s.state = s.log.auto.settle(s.state)
		}
	}
}

func (l *Log) deliver() {
	for _, lane := range l.lanes {
		lane.deliver()
	}
}

func (s *Lane) deliver() {
	if len(s.out) > 0 {
		s.sink(s.out)
		s.out = s.out[:0]
	}
}
