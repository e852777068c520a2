package store

import (
	"maps"
	"slices"
	"sync"
)

// watchers are the channels that wait for topics.
type watchers struct {
	mu sync.Mutex
	by map[string]map[chan struct{}]struct{}
}

// Watch returns a channel that receives after each commit that notified the
// topic; wake-ups that nobody has taken yet are one. A wake-up says that
// something may have changed, never what: look again. Call cancel when done.
func (db *DB) Watch(topic string) (wake <-chan struct{}, cancel func()) {
	ch := make(chan struct{}, 1)
	w := &db.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = map[string]map[chan struct{}]struct{}{}
	}
	if w.by[topic] == nil {
		w.by[topic] = map[chan struct{}]struct{}{}
	}
	w.by[topic][ch] = struct{}{}
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.by[topic], ch)
		if len(w.by[topic]) == 0 {
			delete(w.by, topic)
		}
	}
}

func (w *watchers) wake(topics ...string) {
	if len(topics) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, topic := range topics {
		for ch := range w.by[topic] {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
}

// wakeAll wakes every watcher, for topics that it may have missed.
func (w *watchers) wakeAll() {
	w.mu.Lock()
	topics := slices.Collect(maps.Keys(w.by))
	w.mu.Unlock()
	w.wake(topics...)
}

// wake wakes the watchers of topics, here and on the other nodes.
func (db *DB) wake(topics ...string) {
	db.watch.wake(topics...)
	if db.postgres != nil {
		db.postgres.signals.tell(topics)
	}
}
