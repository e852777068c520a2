package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// payload bounds a notification's bytes; PostgreSQL takes 8000.
	payload = 7000
	// sweep is how often all watchers are woken: what a node committed just
	// before it died was told to nobody.
	sweep = 10 * time.Second
	// reconnect is the pause after trouble with the connection.
	reconnect = 500 * time.Millisecond
)

var errClosing = errors.New("store: closing")

// signals tell other nodes which topics were notified here, and wake this
// node's watchers for theirs, by LISTEN and NOTIFY. They are sent after the
// commit, gathered, and may get lost: a wake-up only shortens a wait.
type signals struct {
	db      *DB
	channel string
	node    string // tells own ones apart
	stop    func()

	mu      sync.Mutex
	waiting map[string]bool
	kick    chan struct{}
}

func (s *signals) start(db *DB) {
	s.db, s.node, s.channel = db, newGUID(), "slipway "+db.postgres.schema
	s.channel = s.channel[:min(len(s.channel), 63)] // PostgreSQL's longest name
	s.waiting, s.kick = map[string]bool{}, make(chan struct{}, 1)
	ctx, cancel := context.WithCancelCause(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.listen(ctx) })
	wg.Go(func() { s.send(ctx) })
	s.stop = func() {
		cancel(errClosing)
		wg.Wait()
	}
}

// tell takes topics to be sent.
func (s *signals) tell(topics []string) {
	if len(topics) == 0 {
		return
	}
	s.mu.Lock()
	for _, topic := range topics {
		s.waiting[topic] = true
	}
	s.mu.Unlock()
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// take empties what waits into payloads.
func (s *signals) take() (payloads []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.node
	for topic := range s.waiting {
		if len(text)+1+len(topic) > payload {
			payloads = append(payloads, text)
			text = s.node
		}
		text += "\n" + topic
	}
	clear(s.waiting)
	return append(payloads, text)
}

func (s *signals) send(ctx context.Context) {
	tick := time.NewTicker(sweep)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.db.watch.wakeAll()
			continue
		case <-s.kick:
		}
		for _, text := range s.take() {
			if _, err := s.db.writer.ExecContext(ctx, `SELECT pg_notify($1, $2)`, s.channel, text); err != nil && ctx.Err() == nil {
				s.db.logger.Warn("other nodes were not told of changes", "error", err)
				_ = pause(ctx, reconnect)
			}
		}
	}
}

func (s *signals) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.hear(ctx)
		if ctx.Err() == nil {
			s.db.logger.Warn("not told of other nodes' changes", "error", err)
			_ = pause(ctx, reconnect)
		}
	}
}

// hear waits for notifications on a connection of its own until that breaks.
func (s *signals) hear(ctx context.Context) (err error) {
	conn, err := pgx.ConnectConfig(ctx, s.db.postgres.config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() {
		err = errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}()
	if _, err := conn.Exec(ctx, `LISTEN `+pgx.Identifier{s.channel}.Sanitize()); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.db.watch.wakeAll() // for what was missed
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("wait for notifications: %w", err)
		}
		topics := strings.Split(n.Payload, "\n")
		if topics[0] != s.node {
			s.db.watch.wake(topics[1:]...)
		}
	}
}
