// Package agent is the agent: the part of Slipway on each machine that runs
// what the server orders, at most once, and proves what came of it (design 6).
//
//	server ──RPC──► Service ──► Journal (fsync) ──► shim ──► script
//	                   │                              │
//	                   └── watches ◄── marker, log, exit record
//
// Who may die when, and what then:
//
//   - The [Journal] makes every promise durable before it is given: an attempt's
//     start, a closed attempt's tombstone, a rollout's highest epoch, a result.
//   - The shim ([Shim]) is a process of its own for each attempt, detached from
//     the agent. It claims the attempt's marker file durably before the job's
//     first step, owns the log file, and writes the exit record atomically. The
//     agent may be killed, restarted or upgraded meanwhile.
//   - An agent that starts judges each open attempt by marker, exit record and
//     the shim's life ([Judge]). Where there is no marker it claims the marker
//     itself: from then on the job can never start, which proves NotStarted.
//
// Attempts live in folders of their own, named by the hash of their id.
package agent
