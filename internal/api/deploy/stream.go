package deploy

import (
	"encoding/json"
	"hash/maphash"
	"net/http"
	"strconv"
	"time"

	"github.com/slipwayhq/slipway/internal/api"
	"github.com/slipwayhq/slipway/internal/app/deploy"
	"github.com/slipwayhq/slipway/internal/resource"
)

const (
	// maxStreams is how many tasks may be followed at once on this node.
	maxStreams = 200
	// beat is how often a stream says that it is there.
	beat = 10 * time.Second
	// streamLife ends a stream; its client comes again, with its key looked at
	// anew (abuse 23, 27).
	streamLife = time.Minute
	// restLeast is the pause between two looks at a task; restEach is added for
	// each activity that a look reads.
	restLeast = 200 * time.Millisecond
	restEach  = 50 * time.Microsecond
)

// activityEvent is a step, a machine in it or an action on that machine, as it
// is now: it takes the place of what an earlier event of the same Id said.
type activityEvent struct {
	ID       string `json:"Id"`
	ParentID string `json:"ParentId"` // a step's is the task's id
	Name     string
	Status   deploy.ActivityStatus
	Started  resource.Time
	Ended    resource.Time
	Reason   string
}

// noteEvent is a line of the task's own log. Number is its place in the task's
// history: a client that came again may be sent one twice.
type noteEvent struct {
	Number      int64
	ActivityID  string `json:"ActivityId"`
	Category    string
	OccurredAt  resource.Time
	MessageText string
}

// taskEvents is a stream of server-sent events: "activity" for each step,
// machine and action that has changed, "note" for a line of the task's log,
// "task" for the task itself, which ends each batch, and "end" once the task is
// over. Their ids are numbers of the task's history. A stream that begins
// anew with the last id sends the notes behind it, and all activities unless
// nothing has changed since.
func (h *handler) taskEvents(w http.ResponseWriter, c *api.Call) error {
	s := &taskStream{h: h, c: c, w: w, seed: maphash.MakeSeed(), sent: map[string]uint64{}}
	last := c.Text("lastEventId")
	if header := c.Request.Header.Get("Last-Event-ID"); header != "" {
		last = header
	}
	if last != "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < 0 {
			return resource.Errorf(resource.Invalid, "Last-Event-ID has to be the id of an event of this task.")
		}
		s.known, s.resumes = n, true
	}
	select {
	case h.streams <- struct{}{}:
		defer func() { <-h.streams }()
	default:
		return resource.Errorf(resource.Unavailable, "Too many tasks are being followed. Try again soon, or read the task's details.")
	}
	wake, cancel := h.deploy.WatchTask(c.Param("id"))
	defer cancel()
	m, err := h.deploy.Moment(c.Context(), c.Caller, c.Space, c.Param("id"), s.known, !s.resumes)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not hold it back
	if c.Request.Method == http.MethodHead {
		return nil
	}
	c.Extend(streamLife + beat) // beyond its end: a deadline that passes ends the connection, and the next request on it
	return s.run(m, wake)
}

// taskStream is one client that follows a task.
type taskStream struct {
	h       *handler
	c       *api.Call
	w       http.ResponseWriter
	known   int64 // up to where the client knows the history
	resumes bool
	seed    maphash.Seed
	sent    map[string]uint64 // by activity: what the client has
	err     error
}

// run sends batches until the task is over, the stream's time is up or the
// client is gone. An error after the first byte only ends the stream: the
// client comes again.
func (s *taskStream) run(m *deploy.Moment, wake <-chan struct{}) error {
	life, heart := time.NewTimer(streamLife), time.NewTicker(beat)
	defer life.Stop()
	defer heart.Stop()
	s.text("retry: 1000\n\n")
	for {
		s.batch(m)
		if s.err != nil || m.Task.State.Completed() && !m.More {
			return nil
		}
		select {
		case <-s.c.Context().Done():
			return nil
		case <-s.c.Ending():
			return nil
		case <-time.After(restLeast + time.Duration(len(s.sent))*restEach):
		}
		for waiting := !m.More; waiting; {
			select {
			case <-s.c.Context().Done():
				return nil
			case <-s.c.Ending():
				return nil
			case <-life.C:
				return nil
			case <-heart.C:
				s.text(": the task goes on\n\n")
				s.flush()
			case <-wake:
				waiting = false
			}
		}
		var err error
		if m, err = s.h.deploy.Moment(s.c.Context(), s.c.Caller, s.c.Space, s.c.Param("id"), s.known, false); err != nil {
			return nil // the client comes again and is told why
		}
	}
}

// batch sends what has changed. Only its end moves the client on: one that is
// cut off before comes again and gets it all.
func (s *taskStream) batch(m *deploy.Moment) {
	for i := range m.Notes {
		n := &m.Notes[i]
		id := n.Seq
		if id == m.Seq {
			id = 0 // only the end of the batch says that the client has all of it
		}
		s.event("note", id, noteEvent{n.Seq, n.Activity, n.Category, resource.Time(n.At), n.Text})
		s.known = n.Seq
	}
	if m.More {
		s.flush()
		return
	}
	if m.Tree != nil {
		for _, step := range m.Tree.Children {
			s.activity(m.Tree.ID, step)
		}
	}
	s.event("task", m.Seq, taskOf(m.Task))
	s.known = m.Seq
	if m.Task.State.Completed() {
		s.event("end", m.Seq, struct{}{})
	}
	s.flush()
}

func (s *taskStream) activity(parent string, a *deploy.Activity) {
	data, err := json.Marshal(activityEvent{a.ID, parent, a.Name, a.Status, resource.Time(a.Started), resource.Time(a.Ended), a.Reason})
	if err != nil {
		s.fail(err)
		return
	}
	if sum := maphash.Bytes(s.seed, data); s.sent[a.ID] != sum {
		s.sent[a.ID] = sum
		s.text("event: activity\ndata: " + string(data) + "\n\n")
	}
	for _, child := range a.Children {
		s.activity(a.ID, child)
	}
}

func (s *taskStream) event(name string, id int64, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		s.fail(err)
		return
	}
	if id != 0 {
		name += "\nid: " + strconv.FormatInt(id, 10)
	}
	s.text("event: " + name + "\ndata: " + string(data) + "\n\n")
}

func (s *taskStream) text(text string) {
	if s.err == nil {
		_, err := s.w.Write([]byte(text))
		s.fail(err)
	}
}

func (s *taskStream) flush() {
	if s.err == nil {
		s.fail(http.NewResponseController(s.w).Flush())
	}
}

func (s *taskStream) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}
