package store

import (
	"context"
	"database/sql"
	"sync"
)

const (
	// mostPrepared bounds the prepared statements of a pool: some 250 texts are
	// fixed, those of filtered lists are not.
	mostPrepared = 400
	// preparedAfter is how often a text is seen before it is worth preparing.
	preparedAfter = 2
	// mostSeen bounds the texts that are counted.
	mostSeen = 4000
)

// statements are the prepared statements of a pool: parsing a text costs more
// than running it. They are prepared between transactions, because a pool of
// one connection has none to spare during one. No text may run twice at the
// same time in one transaction: rows are read to their end before the next
// query.
type statements struct {
	db *sql.DB

	mu     sync.RWMutex
	ready  map[string]*sql.Stmt
	seen   map[string]int
	wanted []string
}

func newStatements(db *sql.DB) *statements {
	return &statements{db: db, ready: map[string]*sql.Stmt{}, seen: map[string]int{}}
}

// of is the prepared statement of a text for a transaction, nil where there is
// none (yet).
func (s *statements) of(ctx context.Context, tx *sql.Tx, query string) *sql.Stmt {
	s.mu.RLock()
	stmt := s.ready[query]
	s.mu.RUnlock()
	if stmt != nil {
		return tx.StmtContext(ctx, stmt)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ready)+len(s.wanted) < mostPrepared && len(s.seen) < mostSeen {
		if s.seen[query]++; s.seen[query] == preparedAfter {
			s.wanted = append(s.wanted, query)
		}
	}
	return nil
}

// prepare prepares what was wanted. A text that cannot be prepared runs as it
// is.
func (s *statements) prepare(ctx context.Context) {
	s.mu.Lock()
	wanted := s.wanted
	s.wanted = nil
	s.mu.Unlock()
	for _, query := range wanted {
		stmt, err := s.db.PrepareContext(ctx, query) //nolint:sqlclosecheck // lives as long as the pool
		if err != nil {
			continue
		}
		s.mu.Lock()
		s.ready[query] = stmt
		s.mu.Unlock()
	}
}
