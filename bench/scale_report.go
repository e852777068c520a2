package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The names of the server's figures that the report is made of.
const (
	transactions = "slipway_store_transactions_total"
	rowsWritten  = "slipway_store_rows_total"
	bytesCarried = "slipway_store_bytes_total"
	turnSeconds  = "slipway_turn_seconds"
	waitSeconds  = "slipway_report_wait_seconds"
	agentCommits = "slipway_agent_commits_total"
	logBytes     = "slipway_log_bytes_total"
)

// reports are those of agents that turns have taken up: that a script began,
// that it ended.
func (c *cost) reports() float64 { return c.counted(waitSeconds + "_count") }

func (r *scaled) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Machine: %s; load before the start: %s, at the end: %s. Commit: %s, %s.\nCommand: `make bench BENCHFLAGS='-only scale'`.\n",
		describeMachine(), r.load, load(), output("git", "rev-parse", "--short", "HEAD"), time.Now().UTC().Format(time.DateOnly))
	r.writeRollouts(&b)
	r.writeGrowth(&b)
	r.writeLatencies(&b)
	r.writeFacts(&b)
	return b.String()
}

func (r *scaled) writeRollouts(b *strings.Builder) {
	b.WriteString("\nOne rollout of one trivial script to all machines; what the server wrote, and used, meanwhile.\n\n" +
		"| machines | agents | seconds | server before, MB | at most, MB | processor, ms per machine | rows per machine | bytes of values per machine | bytes to disk per machine | transactions | of turns | of agents' reports | for 1,000 reports (aim ≤ 20) |\n" +
		"|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for i := range r.costs {
		c := &r.costs[i]
		if c.actions != 1 {
			continue
		}
		n := float64(c.machines)
		fmt.Fprintf(b, "| %d | %s | %.2f | %.1f | %.1f | %.2f | %.1f | %.0f | %.0f | %.0f | %.0f | %.0f | %.1f |\n", c.machines, c.kind, c.took.Seconds(),
			float64(c.before.memory)/1e6, float64(c.after.peak)/1e6, (c.after.cpu-c.before.cpu).Seconds()*1000/n,
			c.counted(rowsWritten)/n, c.counted(bytesCarried)/n, float64(c.after.disk-c.before.disk)/n,
			c.counted(transactions), c.counted(turnSeconds+"_count"), c.counted(agentCommits), 1000*c.counted(transactions)/c.reports())
	}
}

func (r *scaled) writeGrowth(b *strings.Builder) {
	var grow []*cost
	for i := range r.costs {
		if c := &r.costs[i]; c.kind == "simulated" {
			grow = append(grow, c)
		}
	}
	slices.SortStableFunc(grow, func(a, b *cost) int { return cmp.Compare(a.cells(), b.cells()) })
	b.WriteString("\nGrowth with machines × actions. An event is one of the rollout's history; a cell is one action on one machine; × is the rows of a\n" +
		"cell beside those of the smallest rollout (1.00 and less: linear).\n\n" +
		"| machines × actions | events | rows per event | bytes of values per event | rows per cell | bytes per cell | × | server, ms per cell |\n" +
		"|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, c := range grow {
		first := grow[0].counted(rowsWritten) / grow[0].cells()
		fmt.Fprintf(b, "| %d × %d | %d | %.2f | %.0f | %.1f | %.0f | %.2f | %.2f |\n", c.machines, c.actions, c.events,
			c.counted(rowsWritten)/float64(c.events), c.counted(bytesCarried)/float64(c.events),
			c.counted(rowsWritten)/c.cells(), c.counted(bytesCarried)/c.cells(), c.counted(rowsWritten)/c.cells()/first,
			(c.after.cpu-c.before.cpu).Seconds()*1000/c.cells())
	}
}

func (r *scaled) writeLatencies(b *strings.Builder) {
	if len(r.latencies) == 0 {
		return
	}
	fmt.Fprintf(b, "\nTurns of rollouts to %d machines, one after the other, and how long a stored report waited until a turn with it had committed.\n\n"+
		"| meanwhile | logs, MB/s | turns | turn p50, ms | turn p99, ms | report p50, ms | report p99, ms |\n|---|---:|---:|---:|---:|---:|---:|\n", turnsAgents)
	for _, l := range r.latencies {
		fmt.Fprintf(b, "| %s | %.1f | %.0f | %s | %s | %s | %s |\n", l.what, l.after.grown(l.before, logBytes)/1e6/l.took.Seconds(),
			l.after.grown(l.before, turnSeconds+"_count"), milliseconds(l.after.quantile(l.before, turnSeconds, 0.5)),
			milliseconds(l.after.quantile(l.before, turnSeconds, 0.99)), milliseconds(l.after.quantile(l.before, waitSeconds, 0.5)),
			milliseconds(l.after.quantile(l.before, waitSeconds, 0.99)))
	}
}

func (r *scaled) writeFacts(b *strings.Builder) {
	b.WriteString("\nOverhead of an attempt: from the moment it was made (the turn's commit follows) to the start of its script, and from the script's\n" +
		"end to the commit of that report on the server.\n\n" +
		"| agents | attempts | dispatch to start p50, ms | p99, ms | end to recorded p50, ms | p99, ms |\n|---|---:|---:|---:|---:|---:|\n")
	row := func(who string, t timings) {
		if len(t.start) > 0 {
			fmt.Fprintf(b, "| %s | %d | %s | %s | %s | %s |\n", who, len(t.start), milliseconds(quantile(t.start, 0.5)), milliseconds(quantile(t.start, 0.99)),
				milliseconds(quantile(t.record, 0.5)), milliseconds(quantile(t.record, 0.99)))
		}
	}
	row("one process, one attempt at a time", r.single)
	for i := range r.costs {
		if c := &r.costs[i]; c.actions == 1 && c.machines > 10 {
			row(fmt.Sprintf("%d %s, all at once", c.machines, c.kind), c.timings)
		}
	}
	b.WriteString("\n| figure | value | aim |\n|---|---:|---:|\n")
	if r.perIdle != 0 {
		fmt.Fprintf(b, "| resident memory of the server per connected idle agent, at %d | %.1f kB | < 60 kB |\n", idleAgents, float64(r.perIdle)/1e3)
		fmt.Fprintf(b, "| of it live: heap after its last collection, and stacks | %.1f kB |  |\n", float64(r.liveIdle)/1e3)
	}
	fmt.Fprintf(b, "| scripts begun on simulated agents, and starts ordered twice | %s |  |\n", strings.Replace(r.starts, " ", ", ", 1))
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()*1000) }
