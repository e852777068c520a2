package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// fact is a figure that stands alone: a count, a size, a share.
type fact struct{ name, value, aim string }

type key struct {
	job       string
	agents    int
	contender string
}

// report gathers samples in the order they first came.
type report struct {
	keys    []key
	samples map[key][]time.Duration
	facts   []fact
	notes   []string
	load    string // of the machine before the start
}

func (r *report) add(job string, agents int, contender string, took time.Duration) {
	k := key{job, agents, contender}
	if r.samples == nil {
		r.samples = map[key][]time.Duration{}
	}
	if _, ok := r.samples[k]; !ok {
		r.keys = append(r.keys, k)
	}
	r.samples[k] = append(r.samples[k], took)
}

func (r *report) note(text string) {
	if !slices.Contains(r.notes, text) {
		r.notes = append(r.notes, text)
	}
}

func (r *report) markdown(o options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Machine: %s; load before the start: %s. Commit: %s, %s.\nCommand: `make bench`, agents %v. Medians of %d rounds, least and most in brackets.\n\n",
		describeMachine(), r.load, output("git", "rev-parse", "--short", "HEAD"), time.Now().UTC().Format(time.DateOnly),
		o.agents, o.rounds)
	b.WriteString("| job | agents | contender | seconds | × floor |\n|---|---:|---|---:|---:|\n")
	keys := slices.Clone(r.keys)
	slices.SortStableFunc(keys, func(a, b key) int {
		if a.job != b.job {
			return -strings.Compare(a.job, b.job)
		}
		return a.agents - b.agents
	})
	for _, k := range keys {
		s := sorted(r.samples[k])
		base := median(sorted(r.samples[key{k.job, k.agents, "floor"}]))
		fmt.Fprintf(&b, "| %s | %d | %s | %s (%s–%s) | %.2f |\n", k.job, k.agents, k.contender, seconds(median(s)),
			seconds(s[0]), seconds(s[len(s)-1]), median(s).Seconds()/base.Seconds())
	}
	if len(r.facts) > 0 {
		b.WriteString("\n| figure | value | aim |\n|---|---:|---:|\n")
		for _, f := range r.facts {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", f.name, f.value, f.aim)
		}
	}
	for _, n := range r.notes {
		fmt.Fprintf(&b, "\n%s\n", n)
	}
	return b.String()
}

func sorted(d []time.Duration) []time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d
}

func median(sorted []time.Duration) time.Duration {
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

func describeMachine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				model = strings.Trim(name, "\t :\n")
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s/%s, %s", model, runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// load is the machine's one-minute load: work that is not ours blurs seconds,
// and the ratios less.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// splice writes a part of a file anew: what stands between its marks, bench in
// docs/performance.md and scale in docs/reliability.md.
func splice(file, part, text string) error {
	begin, end := "<!-- "+part+": begin -->\n", "<!-- "+part+": end -->\n"
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(old), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no lines %q and %q", file, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return os.WriteFile(file, []byte(head+begin+text+end+tail), 0o600)
}
