package storetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/slipwayhq/slipway/internal/resource"
	"github.com/slipwayhq/slipway/internal/store"
)

func logTests() map[string]func(*testing.T, *store.DB) {
	return map[string]func(*testing.T, *store.DB){
		"bytes come back from any offset":                    logReads,
		"nothing is doubled, lost or out of order":           logChaos,
		"followers wake":                                     logWakes,
		"what is removed is gone":                            logRemove,
		"a chunk with a negative offset or too large is bad": logBad,
	}
}

func appendLog(t *testing.T, db *store.DB, attempt string, offset int64, text string) int64 {
	t.Helper()
	committed, err := db.Logs().Append(t.Context(), []store.LogChunk{{Attempt: attempt, Offset: offset, Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return committed[attempt]
}

func readLog(t *testing.T, db *store.DB, attempt string, from int64, limit int) string {
	t.Helper()
	data, err := db.Logs().Read(t.Context(), attempt, from, limit)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func logReads(t *testing.T, db *store.DB) {
	t.Helper()
	for i, c := range []struct {
		offset int64
		text   string
		want   int64
	}{
		{0, "hello ", 6},
		{6, "world", 11},
		{6, "world", 11},      // the same again (fault 17)
		{3, "lo wor", 11},     // inside
		{9, "ld, and on", 19}, // overlapping the end
		{25, "gap", 19},       // beyond the end is not taken
		{19, "", 19},
	} {
		if got := appendLog(t, db, "a", c.offset, c.text); got != c.want {
			t.Errorf("append %d: %d bytes committed, want %d", i, got, c.want)
		}
	}
	all := "hello world, and on"
	for from := range len(all) + 2 {
		for _, limit := range []int{1, 3, 100} {
			want := ""
			if from < len(all) {
				want = all[from:min(from+limit, len(all))]
			}
			if got := readLog(t, db, "a", int64(from), limit); got != want {
				t.Errorf("from %d, %d: %q, want %q", from, limit, got, want)
			}
		}
	}
	if got := readLog(t, db, "nobody", 0, 10); got != "" {
		t.Errorf("an attempt without output: %q", got)
	}
	if got := readLog(t, db, "a", -1, 10); got != "" {
		t.Errorf("before the start: %q", got)
	}
}

// I6: chunks that come twice, overlap, come late or in parallel end up as one
// text without gap.
func logChaos(t *testing.T, db *store.DB) {
	t.Helper()
	const attempts, size = 6, 20_000
	var wg sync.WaitGroup
	for a := range attempts {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(a), 1)) //nolint:gosec // a test wants the same numbers each time
			want := make([]byte, size)
			for i := range want {
				want[i] = byte('a' + (i*7+a)%26)
			}
			name, acknowledged := fmt.Sprint("attempt-", a), int64(0)
			for acknowledged < size {
				var chunks []store.LogChunk
				for range 1 + random.IntN(4) {
					from := max(0, acknowledged+int64(random.IntN(400))-200)
					to := min(size, from+int64(random.IntN(1500)))
					if from < to {
						chunks = append(chunks, store.LogChunk{Attempt: name, Offset: from, Data: want[from:to]})
					}
				}
				committed, err := db.Logs().Append(t.Context(), chunks)
				if err != nil {
					t.Error(err)
					return
				}
				if n, ok := committed[name]; ok {
					if n < acknowledged {
						t.Errorf("acknowledged %d, then %d", acknowledged, n)
					}
					acknowledged = n
				}
			}
			got, err := db.Logs().Read(t.Context(), name, 0, 2*size)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s differs after %d bytes, %v", name, len(got), err)
			}
		})
	}
	wg.Wait()
}

func logWakes(t *testing.T, db *store.DB) {
	t.Helper()
	wake, cancel := db.Watch(store.LogTopic("a"))
	defer cancel()
	appendLog(t, db, "b", 0, "x")
	appendLog(t, db, "a", 0, "x")
	select {
	case <-wake:
	case <-time.After(10 * time.Second):
		t.Error("not woken")
	}
}

func logRemove(t *testing.T, db *store.DB) {
	t.Helper()
	appendLog(t, db, "a", 0, "one")
	appendLog(t, db, "b", 0, "two")
	if err := db.Logs().Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	n, err := db.Logs().Length(t.Context(), "a")
	if err != nil || n != 0 || readLog(t, db, "a", 0, 10) != "" || readLog(t, db, "b", 0, 10) != "two" {
		t.Errorf("%d bytes left, %v", n, err)
	}
}

func logBad(t *testing.T, db *store.DB) {
	t.Helper()
	for _, c := range []store.LogChunk{{Attempt: "a", Offset: -1, Data: []byte("x")}, {Attempt: "a", Data: make([]byte, 5<<20)}} {
		if _, err := db.Logs().Append(t.Context(), []store.LogChunk{c}); resource.CodeOf(err) != resource.Invalid {
			t.Errorf("%d bytes at %d: %v", len(c.Data), c.Offset, err)
		}
	}
}
