package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
)

// idBlock is how many numbers of a counter a node claims at first.
const idBlock = 50

var errNeedIDs = errors.New("store: ids have to be claimed first")

// idBlocks are the numbers claimed and not yet given out: for each counter
// blocks in the order in which they are used up.
type idBlocks struct {
	mu sync.Mutex
	by map[string][]*numbers
}

type numbers struct{ next, end int64 }

// NextID claims the next id of a counter: "Projects-7" for "Projects". Ids are
// never used twice; there may be gaps.
func (tx *Tx) NextID(prefix string) (string, error) {
	n, err := tx.NextNumber(prefix)
	if err != nil {
		return "", err
	}
	return prefix + "-" + strconv.FormatInt(n, 10), nil
}

// NextNumber claims the next number of a counter, from 1.
func (tx *Tx) NextNumber(counter string) (int64, error) {
	if !tx.write {
		return 0, errors.New("store: an id in a read transaction")
	}
	b := &tx.db.ids
	b.mu.Lock()
	defer b.mu.Unlock()
	block := b.open(counter)
	if block == nil {
		tx.need = counter
		return 0, fmt.Errorf("claim %s: %w", counter, errNeedIDs)
	}
	n := block.next
	block.next++
	tx.claimed = append(tx.claimed, func() { b.giveBack(block, n) })
	return n, nil
}

// open is the block to take from; nil when all are used up.
func (b *idBlocks) open(counter string) *numbers {
	blocks := b.by[counter]
	for _, block := range blocks {
		if block.next < block.end {
			return block
		}
	}
	return nil
}

// giveBack takes back the number that was given out last. It is for runs that
// stop to claim ids and start over: nobody saw the number.
func (b *idBlocks) giveBack(block *numbers, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if block.next == n+1 {
		block.next = n
	}
}

// claimIDs claims a block in a short transaction of its own, so that a rolled
// back one never gives a number back. It adds to what is left: a transaction
// that wants more than a block gets there, run by run.
func (db *DB) claimIDs(ctx context.Context, counter string, n int64) error {
	var end int64
	claim := func() error {
		return db.writer.QueryRowContext(ctx, `INSERT INTO counter (name, next) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET next = counter.next + $3 RETURNING next`, counter, 1+n, n).Scan(&end)
	}
	err := claim()
	for try := 1; db.again(err) && try < busyTries; try++ { // one that was done all the same leaves a gap
		if err = pause(ctx, jitter(try)); err == nil {
			err = claim()
		}
	}
	if err != nil {
		return translate(db.watched(fmt.Errorf("claim %s: %w", counter, err)))
	}
	db.wrote.add(1, 8)
	b := &db.ids
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.by == nil {
		b.by = map[string][]*numbers{}
	}
	left := slices.DeleteFunc(b.by[counter], func(block *numbers) bool { return block.next >= block.end })
	b.by[counter] = append(left, &numbers{next: end - n, end: end})
	return nil
}

// returnIDs gives unused numbers back where nobody has claimed any since, so
// that a clean restart leaves no gap.
func (db *DB) returnIDs() {
	db.ids.mu.Lock()
	defer db.ids.mu.Unlock()
	for counter, blocks := range db.ids.by {
		for _, block := range slices.Backward(blocks) {
			if _, err := db.writer.ExecContext(context.Background(), `UPDATE counter SET next = $2 WHERE name = $1 AND next = $3`, counter, block.next, block.end); err != nil {
				db.logger.Debug("unused ids stay a gap", "counter", counter, "error", err)
			}
		}
	}
	db.ids.by = nil
}
