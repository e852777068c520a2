package sim

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/slipwayhq/slipway/internal/engine"
	"github.com/slipwayhq/slipway/internal/gateway"
	"github.com/slipwayhq/slipway/internal/store"
)

// node is one life of a server: an engine and a gateway over the store.
type node struct {
	w     *world
	name  string
	owner string // name and epoch, once it has begun
	full  bool   // its disk takes no writes
	// recovering writes to take over what others left, and that alone.
	recovering *actor
	skew       int64 // of its own clock
	p          *process
	eng        *engine.Engine
	core       *gateway.Core
	seats      map[string]*session // by machine
}

// quiet is a logger for what the history says in its own words.
var quiet = slog.New(slog.DiscardHandler)

func (w *world) startNode(name string) {
	n := &node{w: w, name: name, p: w.newProcess(name), skew: w.between(-3_600_000, 3_600_000), seats: map[string]*session{}}
	records := records{n}
	n.eng = engine.New(engine.Config{
		DB: records, Node: name, Logger: quiet, Alone: w.size.alone && w.size.nodes == 1,
		Now: func() time.Time { return time.UnixMilli(epoch + w.now + n.skew) },
	})
	n.core = &gateway.Core{DB: records, Logs: logs{n}, Blobs: w.blobs, Log: quiet, Contest: 5 * time.Second}
	w.nodes = append(w.nodes, n)
	w.say("%s: starts", name)
	n.p.run(0, func(a *actor) {
		for !n.begin() {
			a.sleep(500)
		}
		n.p.run(0, n.renew)
		n.p.run(0, n.look)
		n.turns(a)
	})
}

func (n *node) recovers() bool { return n != nil && n.recovering != nil && n.recovering == n.w.self }

// begin takes over what there is. The server may die of it, ten times in a row
// (fault 54, I14).
func (n *node) begin() bool {
	n.recovering = n.w.self
	if n.w.chance("server killed in its recovery", 12) {
		n.w.after(0, n.crash)
	}
	err := n.eng.Begin(n.p.ctx)
	n.recovering = nil
	if err != nil {
		return false
	}
	var number int64
	if err := n.w.truth.each(n.w.look.epoch, func(r *sql.Rows) error { return r.Scan(&number) }, n.name); err != nil {
		n.w.violated("database", "%v", err)
	}
	n.owner = fmt.Sprintf("%s/%d", n.name, number)
	n.w.say("%s: begins", n.owner)
	return true
}

// turns is engine.Run: a round at each wake-up, and one each second.
func (n *node) turns(a *actor) {
	work, stop := n.w.db.Watch(store.TopicWork)
	defer stop()
	at := int64(-1000)
	for {
		if woken(work) || n.w.now-at >= 1000 {
			at = n.w.now
			if err := n.eng.Round(n.p.ctx); err != nil {
				n.trouble("round", err)
			}
		}
		a.sleep(n.w.between(20, 400))
	}
}

func woken(wake <-chan struct{}) bool {
	select {
	case <-wake:
		return true
	default:
		return false
	}
}

// look compares the node's sessions with the rows that all nodes share.
func (n *node) look(a *actor) {
	for {
		a.sleep(n.w.between(1000, 3000))
		var seats []store.Seat
		_ = n.core.DB.Read(n.p.ctx, func(tx *store.Tx) (err error) {
			seats, err = store.Seats(tx)
			return err
		})
		err := n.core.GiveUp(n.p.ctx, n.name, seats, func(machine string) bool {
			s := n.seats[machine]
			return s != nil && (s.l.up || s.active > 0)
		})
		if err != nil {
			n.trouble("look", err)
		}
	}
}

// renew keeps the lease; a node that finds a newer epoch of itself ends.
func (n *node) renew(a *actor) {
	for {
		a.sleep(2000)
		n.recovering = n.w.self
		err := n.eng.Renew(n.p.ctx)
		n.recovering = nil
		if errors.Is(err, store.ErrFenced) {
			n.w.say("%s: fenced, ends", n.name)
			n.crash()
		}
	}
}

func (n *node) trouble(what string, err error) {
	if !errors.Is(err, errFull) && !errors.Is(err, store.ErrFenced) && !errors.Is(err, gateway.ErrStale) {
		n.w.say("%s: %s: %v", n.name, what, err)
	}
}

// crash is kill -9 of the node. Its links break; the same node starts again
// unless a newer life of it runs.
func (n *node) crash() {
	w := n.w
	w.say("%s: dies", n.name)
	for _, m := range w.machines {
		if m.link != nil && m.link.n == n {
			m.link.cut()
		}
	}
	for i := range w.nodes {
		if w.nodes[i] == n {
			w.nodes = append(w.nodes[:i:i], w.nodes[i+1:]...)
			break
		}
	}
	if !w.named(n.name) {
		away := w.between(100, 4000)
		if w.size.nodes > 1 && w.rng.IntN(2) == 0 {
			away = w.between(7000, 20_000) // the others take over
		}
		w.after(away, func() {
			if !w.named(n.name) {
				w.startNode(n.name)
			}
		})
	}
	if w.self != nil && w.self.p == n.p {
		w.self.die()
	}
	n.p.kill()
}

func (w *world) named(name string) bool {
	for _, n := range w.nodes {
		if n.name == name {
			return true
		}
	}
	return false
}

// pause is SIGSTOP and, later, SIGCONT: a zombie that does not know that time
// has passed. When it takes long, another life of the node has begun meanwhile
// (fault 30).
func (n *node) pause(ms int64) {
	n.w.say("%s: stops for %d ms", n.name, ms)
	n.p.frozen = true
	n.w.after(ms, func() { n.p.frozen = false })
	if ms > 6000 && n.w.rng.IntN(2) == 0 {
		n.w.after(n.w.between(3000, ms), func() { n.w.startNode(n.name) })
	}
}

func (w *world) anyNode() *node {
	var awake []*node
	for _, n := range w.nodes {
		if !n.p.dead && !n.p.frozen {
			awake = append(awake, n)
		}
	}
	if len(awake) == 0 {
		return nil
	}
	return awake[w.rng.IntN(len(awake))]
}

// records is the store as a node reaches it: the node may die before or after
// any commit.
type records struct{ n *node }

var errFull = errors.New("database or disk is full")

func (r records) Read(ctx context.Context, f func(*store.Tx) error) error {
	return r.n.w.db.Read(context.WithoutCancel(ctx), f)
}

// Write commits, or dies in the attempt. A process that is killed has no use for
// the end of its context, and the driver would watch it from a goroutine.
func (r records) Write(ctx context.Context, f func(*store.Tx) error) error {
	w, n := r.n.w, r.n
	if n.full {
		return errFull
	}
	if w.self != nil && w.rng.IntN(4) == 0 {
		w.self.sleep(w.between(0, 8))
	}
	if w.self != nil && w.self.p == n.p && w.chance("server paused before a commit", 500) {
		n.pause(w.between(7000, 15_000)) // fault 30
		w.self.sleep(1)
	}
	if w.chance("server killed before a commit", 600) {
		n.crash()
	}
	if err := w.db.Write(context.WithoutCancel(ctx), f); err != nil {
		return err
	}
	w.truth.written(n)
	if err := w.truth.marked(); err != nil {
		w.violated("database", "%v", err)
	}
	w.truth.committed()
	if w.chance("server killed after a commit", 600) {
		n.crash()
	}
	return nil
}

func (r records) Watch(topic string) (<-chan struct{}, func()) { return r.n.w.db.Watch(topic) }

// logs is the store's logs as a node reaches them.
type logs struct{ n *node }

func (l logs) Length(ctx context.Context, attempt string) (int64, error) {
	return l.n.w.db.Logs().Length(context.WithoutCancel(ctx), attempt)
}

func (l logs) Append(ctx context.Context, chunks []store.LogChunk) (map[string]int64, error) {
	if l.n.full {
		return nil, errFull
	}
	if l.n.w.chance("server killed before a log commit", 400) {
		l.n.crash()
	}
	committed, err := l.n.w.db.Logs().Append(context.WithoutCancel(ctx), chunks)
	if l.n.w.chance("server killed after a log commit", 400) {
		l.n.crash()
	}
	return committed, err
}

// accept serves a link until it breaks: what the gateway's session does with
// goroutines.
func (n *node) accept(l *link) {
	n.p.run(n.w.between(0, 20), func(a *actor) {
		s := &session{n: n, l: l, sending: map[string]int64{}, following: map[string]bool{}}
		if s.open(a) {
			s.serve(a)
		}
		l.cut()
	})
}

// session is the work on one link.
type session struct {
	n          *node
	l          *link
	generation int64
	skew       int64
	// sending are the effects on their way, or left alone until then; math.
	sending   map[string]int64
	following map[string]bool
	again     int64 // when one that failed is tried again
	active    int   // threads of its work
}

// spawn is a thread of the session's work.
func (s *session) spawn(f func(a *actor)) {
	s.active++
	s.n.p.run(0, func(a *actor) {
		defer func() { s.active-- }()
		f(a)
	})
}

// replace ends the session that the node has with the machine, if there is one,
// and waits for its work to end: one link at a time works.
func (s *session) replace(a *actor) {
	if old := s.n.seats[s.l.m.id]; old != nil {
		old.l.cut()
		for old.active > 0 {
			a.sleep(20)
		}
	}
	s.n.seats[s.l.m.id] = s
}

const never = 1 << 60

func (s *session) open(a *actor) bool {
	n, m := s.n, s.l.m
	about, err := s.l.Describe(n.p.ctx, nil)
	if err != nil {
		return false
	}
	s.skew = about.NowMs - n.w.clock().UnixMilli()
	row := store.Session{
		Machine: m.id, Node: n.name, State: store.SessionConnected, Incarnation: about.Incarnation, Starts: about.Starts,
		Facts: map[string]string{gateway.FactPin: m.name, "BootId": about.BootId},
	}
	s.replace(a)
	held, err := n.core.Open(n.p.ctx, &row)
	for errors.Is(err, gateway.ErrElsewhere) && s.l.up {
		a.sleep(n.w.between(500, 1500)) // the other node finds out what its link is worth
		held, err = n.core.Open(n.p.ctx, &row)
	}
	if err != nil {
		return false
	}
	if held != "" { // fault 32: it gets no work until a person says so
		n.w.say("%s: held: %s", m.name, held)
		row.State, row.Reason = store.SessionQuarantined, held
		if n.core.DB.Write(n.p.ctx, func(tx *store.Tx) error { return store.HoldSession(tx, &row) }) != nil {
			return false
		}
		a.sleep(n.w.between(1000, 5000))
		if n.core.DB.Write(n.p.ctx, func(tx *store.Tx) error { return store.ConfirmSession(tx, m.id) }) == nil {
			m.restored, m.heard = false, 0
		}
		return false
	}
	s.generation = row.Generation
	m.heard = about.Incarnation
	n.w.say("%s: linked to %s, generation %d", m.name, n.name, s.generation)
	s.spawn(func(*actor) {
		if err := n.core.Tidy(n.p.ctx, s.l, m.id, about.Attempts); err != nil {
			n.trouble("tidy", err)
		}
	})
	return true
}

func (s *session) serve(a *actor) {
	n, w, m := s.n, s.n.w, s.l.m
	for _, r := range s.running() {
		s.resume(r)
	}
	effects, stop := w.db.Watch(store.TopicEffects)
	defer stop()
	lastPing, lastLook := w.now, w.now
	s.pump()
	for s.l.up {
		if woken(effects) || s.again <= w.now {
			s.pump()
		}
		a.sleep(w.between(20, 300))
		if w.now-lastPing > 10_000 && s.l.up {
			lastPing = w.now
			if _, err := s.l.Describe(n.p.ctx, nil); err != nil {
				break
			}
			mine := true
			_ = n.core.DB.Write(n.p.ctx, func(tx *store.Tx) (err error) {
				mine, err = store.HeardFrom(tx, m.id, s.generation)
				return err
			})
			if !mine {
				break // another link has replaced this one
			}
		}
		if w.now-lastLook > 1000 && s.l.up {
			lastLook = w.now
			s.defend()
		}
	}
	s.l.cut()
	_ = n.core.DB.Write(n.p.ctx, func(tx *store.Tx) error {
		return store.CloseSession(tx, m.id, s.generation, store.SessionLost, "the link broke")
	})
}

// defend answers another node that has a link of the same machine: who is
// answered is the machine's, and when both are, its identity is in use twice
// (abuse 4).
func (s *session) defend() {
	n, m := s.n, s.l.m
	var seat store.Seat
	_ = n.core.DB.Read(n.p.ctx, func(tx *store.Tx) (err error) {
		seat, err = store.GetSeat(tx, m.id)
		return err
	})
	if seat.Node != n.name || seat.Generation != s.generation || seat.Rival == "" {
		return
	}
	if _, err := s.l.Describe(n.p.ctx, nil); err == nil {
		n.w.say("%s: has two links that answer", m.name)
		row := store.Session{
			Machine: m.id, Node: n.name, State: store.SessionDuplicate, Reason: "duplicate identity",
			Facts: map[string]string{gateway.FactPin: m.name},
		}
		_ = n.core.DB.Write(n.p.ctx, func(tx *store.Tx) error {
			return errors.Join(store.HoldSession(tx, &row), store.LeaveHeld(tx, m.id, n.name))
		})
	}
	s.l.cut()
}

func (s *session) running() (list []store.RunningAttempt) {
	_ = s.n.core.DB.Read(s.n.p.ctx, func(tx *store.Tx) (err error) {
		list, err = store.RunningAttempts(tx, s.l.m.id)
		return err
	})
	return list
}

// resume finds out what became of an attempt that was sent over another link.
func (s *session) resume(r store.RunningAttempt) {
	s.spawn(func(a *actor) {
		for s.l.up {
			follow, err := s.n.core.Resume(s.n.p.ctx, s.l, &r)
			if err == nil {
				if follow {
					s.follow(gateway.Work{Attempt: r.ID, Rollout: r.Rollout, Machine: r.Executor, Epoch: r.Epoch})
				}
				return
			}
			s.n.trouble("resume "+r.ID, err)
			if errors.Is(err, gateway.ErrStale) {
				return
			}
			a.sleep(1000)
		}
	})
}

// pump puts what waits for the machine on its way.
func (s *session) pump() {
	s.again = never
	var list []store.Delivery
	_ = s.n.core.DB.Read(s.n.p.ctx, func(tx *store.Tx) (err error) {
		list, err = store.Deliveries(tx, s.l.m.id, 64)
		return err
	})
	for _, d := range list {
		d.Session = s.generation
		key := fmt.Sprint(d.Rollout, "/", d.Seq, "/", d.N)
		if wait := s.sending[key]; wait > s.n.w.now {
			s.again = min(s.again, wait)
			continue
		}
		s.sending[key] = never
		s.spawn(func(*actor) {
			follow, err := s.n.core.Deliver(s.n.p.ctx, s.l, &d)
			s.sending[key] = 0
			if err != nil {
				s.n.trouble("deliver "+string(d.Kind)+" "+d.Attempt, err)
				s.again = s.n.w.now + time.Second.Milliseconds()
				s.sending[key] = s.again
			}
			if follow {
				s.follow(gateway.Work{Attempt: d.Attempt, Rollout: d.Rollout, Machine: d.Machine, Epoch: d.Epoch})
			}
		})
	}
}

// follow takes an attempt's output and result in, once at a time.
func (s *session) follow(work gateway.Work) {
	if s.following[work.Attempt] {
		return
	}
	s.following[work.Attempt] = true
	s.spawn(func(a *actor) {
		defer delete(s.following, work.Attempt)
		for s.l.up {
			err := s.n.core.Receive(s.n.p.ctx, s.l, work, s.skew)
			if err == nil {
				return
			}
			s.n.trouble("receive "+work.Attempt, err)
			a.sleep(1000)
			still := false
			for _, r := range s.running() {
				if r.ID == work.Attempt {
					follow, err := s.n.core.Resume(s.n.p.ctx, s.l, &r)
					still = err != nil || follow
				}
			}
			if !still {
				return
			}
		}
	})
}
