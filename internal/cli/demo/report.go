package demo

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/slipwayhq/slipway/internal/cli/console"
)

// report is what the demo saw. Its JSON is stable.
type report struct {
	Releases      []released `json:"releases"`
	Requests      int        `json:"requests"`
	Failed        int        `json:"failedRequests"`
	Stale         int        `json:"staleResponses"`
	Holding       int        `json:"holdingPageRequests"`
	StartedTwice  int        `json:"scriptsStartedTwice"`
	ServerKilled  bool       `json:"serverKilled"`
	RunningAtKill int        `json:"attemptsRunningAtKill"`
	NewMachine    newMachine `json:"newMachine"`
	Vanished      vanished   `json:"vanishedMachine"`
	Succeeded     bool       `json:"succeeded"`
	Seconds       float64    `json:"seconds"`

	unfinished int
	examples   []string
}

// released is one release and how long it took to each environment.
type released struct {
	Version      string             `json:"version"`
	Migration    bool               `json:"migration"`
	Environments []string           `json:"environments"`
	Seconds      map[string]float64 `json:"seconds"`
	// Holding counts the holding pages that customers of Production saw
	// meanwhile.
	Holding int `json:"holdingPageRequests"`
}

type newMachine struct {
	Release string  `json:"release"`
	Seconds float64 `json:"secondsToServing"`
}

type vanished struct {
	State string `json:"state"`
}

// deployed notes that a release went to an environment.
func (r *report) deployed(version, environment string, seconds float64, holding int) {
	at := slices.IndexFunc(r.Releases, func(x released) bool { return x.Version == version })
	if at < 0 {
		r.Releases = append(r.Releases, released{Version: version, Migration: version == first, Seconds: map[string]float64{}})
		at = len(r.Releases) - 1
	}
	release := &r.Releases[at]
	release.Environments = append(release.Environments, environment)
	release.Seconds[environment] = rounded(seconds)
	if environment == production {
		release.Holding = holding
	}
}

// rounded keeps milliseconds.
func rounded(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }

// promise is one line of the verdict.
type promise struct {
	text, seen string
	held       bool
}

func (r *report) promises() []promise {
	var with, without, went int
	for _, release := range r.Releases {
		went += len(release.Environments)
		if release.Migration {
			with += release.Holding
		} else {
			without += release.Holding
		}
	}
	gone := r.Vanished.State
	return []promise{
		{"Two releases went to Test, and the same to Production", fmt.Sprintf("%d of 4 deployments", went), went == 4},
		{"Customers shopped all the time", fmt.Sprintf("%d requests", r.Requests), r.Requests >= minRequests},
		{"No request failed", fmt.Sprintf("%d failed", r.Failed), r.Failed == 0},
		{"No page was stale or unconfigured", fmt.Sprintf("%d were", r.Stale), r.Stale == 0},
		{"The holding page came with the migration", fmt.Sprintf("%d requests", with), with > 0},
		{"and only with it", fmt.Sprintf("%d requests", without), without == 0},
		{"The server was killed while scripts ran", fmt.Sprintf("%d scripts", r.RunningAtKill), r.ServerKilled && r.RunningAtKill > 0},
		{"No script started twice", fmt.Sprintf("%d did", r.StartedTwice), r.StartedTwice == 0},
		{"Each script that started also ended", fmt.Sprintf("%d did not", r.unfinished), r.unfinished == 0},
		{
			"A new machine served once it had the release",
			fmt.Sprintf("%s after %.1f s", r.NewMachine.Release, r.NewMachine.Seconds), r.NewMachine.Release == first,
		},
		{"The machine that vanished counts as gone, and stopped nobody", gone, gone != "" && gone != "Healthy" && gone != "HasWarnings"},
	}
}

// broken counts the promises that did not hold.
func (r *report) broken() int {
	n := 0
	for _, p := range r.promises() {
		if !p.held {
			n++
		}
	}
	return n
}

// print prints the table, or as JSON one object on one line.
func (r *report) print(c *console.Console) error {
	if c.Format == console.JSON {
		data, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("print report: %w", err)
		}
		_, err = fmt.Fprintf(c.Out, "%s\n", data)
		return err
	}
	result := console.Result{Columns: []string{"", "PROMISE", "SEEN"}}
	for _, p := range r.promises() {
		verdict := "ok"
		if !p.held {
			verdict = "BROKEN"
		}
		result.Rows = append(result.Rows, []string{verdict, p.text, p.seen})
		result.Basic = append(result.Basic, strings.Join([]string{verdict, p.text, p.seen}, "\t"))
	}
	if err := c.Print(result); err != nil {
		return err
	}
	for _, example := range r.examples {
		c.Notef("  %s", console.Printable(example))
	}
	c.Notef("%.0f seconds.", r.Seconds)
	return nil
}
