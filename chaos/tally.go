package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/slipwayhq/slipway/internal/fail"
)

// source is seeded chance for several goroutines. The same seed gives the same
// plan of injections; when each of them falls is the machine's affair.
type source struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newSource(seed uint64, stream uint64) *source {
	return &source{r: rand.New(rand.NewPCG(seed, stream))}
}

func (s *source) n(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.IntN(n)
}

func (s *source) upTo(d time.Duration) time.Duration { return s.between(0, d) }

func (s *source) between(a, b time.Duration) time.Duration {
	if b <= a {
		return a
	}
	return a + time.Duration(s.n(int(b-a)))
}

func (s *source) shuffle(n int, swap func(i, j int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.r.Shuffle(n, swap)
}

// tally is what was done and found.
type tally struct {
	Kills      int
	Pauses     int
	Failpoints int // of the kills and pauses
	Cuts       int
	CutPlaces  map[string]bool // direction, record and mode
	Running    int             // of the kills and pauses
	Points     map[fail.Name]int
	ByKind     map[string]int

	Rollouts  int // that ended
	Ordinary  int // neither canceled nor with a script that fails on purpose
	Succeeded int // of the ordinary ones
	Attempts  int
	Scripts   int // that started
	LogBytes  int64

	Unknown       map[string]int
	DoubledStarts int
	FalseGreens   int
	LostLogBytes  int64
	Takeovers     []time.Duration
	Violations    []string
}

func newTally() *tally {
	return &tally{CutPlaces: map[string]bool{}, Points: map[fail.Name]int{}, ByKind: map[string]int{}, Unknown: map[string]int{}}
}

func (t *tally) add(o *tally) {
	t.Kills += o.Kills
	t.Pauses += o.Pauses
	t.Failpoints += o.Failpoints
	t.Cuts += o.Cuts
	t.Running += o.Running
	t.Rollouts += o.Rollouts
	t.Ordinary += o.Ordinary
	t.Succeeded += o.Succeeded
	t.Attempts += o.Attempts
	t.Scripts += o.Scripts
	t.LogBytes += o.LogBytes
	t.DoubledStarts += o.DoubledStarts
	t.FalseGreens += o.FalseGreens
	t.LostLogBytes += o.LostLogBytes
	t.Takeovers = append(t.Takeovers, o.Takeovers...)
	t.Violations = append(t.Violations, o.Violations...)
	maps.Copy(t.CutPlaces, o.CutPlaces)
	sum(t.Points, o.Points)
	sum(t.ByKind, o.ByKind)
	sum(t.Unknown, o.Unknown)
}

func sum[K comparable](to, from map[K]int) {
	for k, n := range from {
		to[k] += n
	}
}

// line is the closing line's object.
type line struct {
	Seed             uint64         `json:"seed"`
	Seconds          int            `json:"seconds"`
	Kills            int            `json:"kills"`
	Pauses           int            `json:"pauses"`
	Cuts             int            `json:"cuts"`
	CutPlaces        int            `json:"cutPlaces"`
	Failpoints       int            `json:"failpoints"`
	PointsHit        int            `json:"pointsHit"`
	Points           int            `json:"points"`
	Running          int            `json:"running"`
	RunningPercent   float64        `json:"runningPercent"`
	Rollouts         int            `json:"rollouts"`
	Ordinary         int            `json:"ordinary"`
	Succeeded        int            `json:"succeeded"`
	SucceededPercent float64        `json:"succeededPercent"`
	Scripts          int            `json:"scripts"`
	LogBytes         int64          `json:"logBytes"`
	Unknown          map[string]int `json:"unknown"`
	DoubledStarts    int            `json:"doubledStarts"`
	FalseGreens      int            `json:"falseGreens"`
	LostLogBytes     int64          `json:"lostLogBytes"`
	Takeovers        int            `json:"takeovers"`
	TakeoverP50Ms    int64          `json:"takeoverP50Ms"`
	TakeoverP99Ms    int64          `json:"takeoverP99Ms"`
	Violations       int            `json:"violations"`
}

func (t *tally) line(seed uint64, took time.Duration) line {
	return line{
		Seed: seed, Seconds: int(took.Seconds()), Kills: t.Kills, Pauses: t.Pauses, Cuts: t.Cuts, CutPlaces: len(t.CutPlaces),
		Failpoints: t.Failpoints, PointsHit: len(t.Points), Points: len(fail.Places()),
		Running: t.Running, RunningPercent: percent(t.Running, t.Kills+t.Pauses),
		Rollouts: t.Rollouts, Ordinary: t.Ordinary, Succeeded: t.Succeeded, SucceededPercent: percent(t.Succeeded, t.Ordinary),
		Scripts: t.Scripts, LogBytes: t.LogBytes, Unknown: t.Unknown,
		DoubledStarts: t.DoubledStarts, FalseGreens: t.FalseGreens, LostLogBytes: t.LostLogBytes,
		Takeovers: len(t.Takeovers), TakeoverP50Ms: percentile(t.Takeovers, 50), TakeoverP99Ms: percentile(t.Takeovers, 99),
		Violations: len(t.Violations),
	}
}

// shares holds the whole to what it has to show.
func (t *tally) shares(kills int) {
	if share := percent(t.Succeeded, t.Ordinary); share < 95 {
		t.Violations = append(t.Violations, fmt.Sprintf("only %.1f %% of the ordinary rollouts succeeded, want 95", share))
	}
	if share := percent(t.Running, t.Kills+t.Pauses); share < 80 && kills >= 100 {
		t.Violations = append(t.Violations, fmt.Sprintf("only %.1f %% of the kills and pauses fell while a script ran, want 80", share))
	}
}

func percent(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part*1000/whole) / 10
}

// percentile is the nearest rank's, in milliseconds; 0 for none.
func percentile(list []time.Duration, p int) int64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[min(len(sorted)-1, (len(sorted)*p+99)/100-1)].Milliseconds()
}

// tallying is a tally that several goroutines add to.
type tallying struct {
	mu sync.Mutex
	*tally
}

func (t *tallying) change(f func(*tally)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(t.tally)
}

func (t *tallying) injected() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.Kills + t.Pauses
}

func (r *run) violation(format string, args ...any) {
	text := r.form + ": " + fmt.Sprintf(format, args...)
	r.log("VIOLATION %s", text)
	r.t.change(func(t *tally) { t.Violations = append(t.Violations, text) })
}
