package script

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slipwayhq/slipway/internal/agent/mask"
)

// DefaultQuota is how many bytes of log one attempt may write (abuse 14).
const DefaultQuota = 100 << 20

// quotaReserve is kept for the agent's own last words.
const quotaReserve = 64 << 10

// Limits of what one attempt may hand back (abuse 14).
const (
	maxOutputs     = 1000
	maxOutputBytes = 4 << 20
	maxArtifacts   = 200
)

// Output is an output variable that a script has set.
type Output struct {
	Name      string
	Value     string
	Sensitive bool
}

// Artifact is a file that a script wants kept.
type Artifact struct {
	Name string
	Path string // as the script gave it
}

// LogOptions say how a Log writes.
type LogOptions struct {
	Out     io.Writer
	Clock   func() time.Time
	Secrets []string
	Quota   int64  // 0 is DefaultQuota
	Nonce   string // when set, only service messages that carry it count (abuse 77)
}

// Log turns the output of an attempt's scripts into records, with secrets
// masked before anything reaches Out, and collects what service messages say.
// Its two streams and all methods may be used concurrently. When Out fails, as
// on a full disk, output is still read, so that the script goes on (fault 20).
type Log struct {
	mu       sync.Mutex
	options  LogOptions
	mask     *mask.Log
	lanes    [2]*lane // stdout, stderr
	buffer   []byte
	written  int64
	full     bool
	failure  error
	result   Collected
	outBytes int
	current  Ending
}

// Collected is what the scripts of an attempt handed back.
type Collected struct {
	Outputs   []Output // by name, the last value of each
	Artifacts []Artifact
	Warned    bool // some record is a warning or an error
}

// Ending is what one script left behind for its result.
type Ending struct {
	Failure     string // the message of fail_step, masked
	ErrorOutput bool   // it wrote something to stderr
}

// lane is one stream on its way: scanner, masker, records.
type lane struct {
	log     *Log
	scanner scanner
	mask    *mask.Lane
	level   Category
	normal  Category
	lines   []lineStart // of lines on their way through the masker
	inLine  bool
	record  []byte
}

type lineStart struct {
	ms    int64
	level Category
}

// NewLog makes a Log; nothing is written before the first output.
func NewLog(o LogOptions) *Log {
	if o.Quota <= 0 {
		o.Quota = DefaultQuota
	}
	l := &Log{options: o, mask: mask.New(o.Secrets)}
	for i, level := range []Category{Info, Error} {
		ln := &lane{log: l, level: level, normal: level}
		ln.mask = l.mask.Lane(ln.masked)
		ln.scanner = scanner{text: ln.text, message: ln.message}
		l.lanes[i] = ln
	}
	return l
}

type stream struct {
	log  *Log
	lane *lane
}

func (s stream) Write(p []byte) (int, error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.lane.scanner.write(p)
	s.log.flush()
	return len(p), nil
}

// Stdout takes a script's standard output.
func (l *Log) Stdout() io.Writer { return stream{l, l.lanes[0]} }

// Stderr takes a script's error output.
func (l *Log) Stderr() io.Writer { return stream{l, l.lanes[1]} }

// Print writes a line of the agent's own. Service messages in it are text.
func (l *Log) Print(c Category, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.print(c, text)
	l.flush()
}

// print writes at once: no secret begins in one of the agent's lines and ends
// in another.
func (l *Log) print(c Category, text string) {
	start := lineStart{l.options.Clock().UnixMilli(), c}
	for line := range strings.Lines(l.mask.String(strings.TrimSuffix(text, "\n")) + "\n") {
		rest := bytes.TrimRight([]byte(line), "\r\n")
		for len(rest) > maxRecord {
			n := cut(rest)
			l.record(start, rest[:n])
			rest = rest[n:]
		}
		l.record(start, rest)
	}
}

// AddSecret masks one more value from here on.
func (l *Log) AddSecret(value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mask.Add(value)
}

// Mask masks a text that goes elsewhere than into the log.
func (l *Log) Mask(text string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mask.String(text)
}

// EndScript gives out all that was held back: what one script printed and
// what the next prints is never one secret or one line.
func (l *Log) EndScript() Ending {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ln := range l.lanes {
		ln.scanner.giveUp()
		ln.scanner.hasText, ln.scanner.swallowed = false, false
		ln.level = ln.normal
	}
	l.mask.Flush()
	for _, ln := range l.lanes {
		ln.endLine()
	}
	l.flush()
	ending := l.current
	l.current = Ending{}
	return ending
}

// Collected is what service messages have said so far.
func (l *Log) Collected() Collected {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.result
}

// Close writes the rest and returns the first error of Out.
func (l *Log) Close() error {
	l.EndScript()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// text takes output without service messages: where a line starts decides its
// time and category.
func (ln *lane) text(p []byte) {
	for rest := p; len(rest) > 0; {
		if !ln.inLine {
			ln.inLine = true
			ln.lines = append(ln.lines, lineStart{ln.log.options.Clock().UnixMilli(), ln.level})
		}
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			break
		}
		ln.inLine = false
		rest = rest[end+1:]
	}
	ln.mask.Write(p)
}

// masked takes the same output once it is free of secrets. Line ends pass the
// masker one by one, so lines and their starts keep in step.
func (ln *lane) masked(p []byte) {
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			ln.record = append(ln.record, p...)
			ln.split()
			return
		}
		ln.record = append(ln.record, p[:end]...)
		ln.split()
		ln.endLine()
		p = p[end+1:]
	}
}

func (ln *lane) split() {
	for len(ln.record) > maxRecord {
		n := cut(ln.record)
		ln.finish(ln.record[:n])
		ln.record = ln.record[:copy(ln.record, ln.record[n:])]
	}
}

func (ln *lane) endLine() {
	if len(ln.lines) == 0 {
		return
	}
	ln.finish(bytes.TrimRight(ln.record, "\r"))
	ln.record = ln.record[:0]
	if ln.lines = ln.lines[:copy(ln.lines, ln.lines[1:])]; len(ln.lines) == 0 {
		ln.inLine = false
	}
}

func (ln *lane) finish(text []byte) {
	if ln.lines[0].level == Error && len(bytes.TrimSpace(text)) > 0 {
		ln.log.current.ErrorOutput = true
	}
	ln.log.record(ln.lines[0], text)
}

func (l *Log) record(start lineStart, text []byte) {
	switch {
	case start.level == Warning:
		l.result.Warned = true
	case start.level == Error && len(bytes.TrimSpace(text)) > 0:
		l.result.Warned = true
	}
	if l.failure != nil || l.full && start.level != Fatal {
		return
	}
	before := len(l.buffer)
	l.buffer = appendRecord(l.buffer, start.ms, start.level, text)
	if start.level != Fatal && l.written+int64(len(l.buffer)) > l.options.Quota-min(quotaReserve, l.options.Quota/2) {
		l.full, l.result.Warned = true, true
		l.buffer = appendRecord(l.buffer[:before], start.ms, Warning,
			fmt.Appendf(nil, "The log is cut off here: it has reached its limit of %d bytes. The script goes on.", l.options.Quota))
	}
}

func (l *Log) flush() {
	if len(l.buffer) == 0 || l.failure != nil {
		l.buffer = l.buffer[:0]
		return
	}
	n, err := l.options.Out.Write(l.buffer)
	l.written += int64(n)
	l.failure = err
	l.buffer = l.buffer[:0]
}

// progressText is the text of a Progress record.
func progressText(m Message) (string, bool) {
	percent, err := strconv.Atoi(strings.TrimSpace(m.Attributes["percentage"]))
	return strings.TrimSpace(fmt.Sprintf("%d %s", min(max(percent, 0), 100), m.Attributes["message"])), err == nil
}
