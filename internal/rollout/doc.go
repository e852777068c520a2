// Package rollout holds the rules of a rollout: the frozen [Plan] and [Next],
// the only place where an event changes a rollout (design 5.3).
//
// It is pure: no I/O, no clock (time comes in the event), no randomness, no
// goroutine. The same plan, rows and events give the same changes and effects
// (invariant I15). Next reads rows through [Rows] and touches only what an
// event changes: it never scans the members, so its cost per event is the same
// for ten members and for ten thousand.
//
// A rollout:
//
//	Queued ──Begin──► Running ──last step closed──► Succeeded | Failed
//	   │                 │
//	   └─────Cancel──────┴──► Canceling ──no open cell──► Canceled
//
// A step, opened and closed in order, those that start together together; a
// closed step never reopens:
//
//	Pending ──► Open ──► Succeeded | Failed | Skipped | Canceled
//
// It admits members while its window has room, until all went through, more of
// them have failed than it tolerates, or its time is up.
//
// A member passes through the actions of an open step one after the other;
// each is a cell:
//
//	            ┌─── condition says no ──────────────► Skipped
//	(none) ─────┼─── manual intervention ────────────► Interrupted
//	            └► Waiting ──SlotGranted──► Running ──Ended──► Succeeded
//	                 ▲  │                     │ │
//	                 │  └──Cancel─► Canceled  │ └──Gone──► Superseded
//	                 │                        ▼
//	                 ├── pause ── NotStarted, or a retry that the action declares
//	                 │                        │ else, where people decide
//	                 │                        ▼
//	                 └──────── Retry ─── Interrupted ──Ignore──► Ignored
//	                                       │ │ └──Proceed──► Succeeded
//	                                       │ └────Exclude, Gone──► Superseded
//	                                       └──Fail, Abort, deadline, or where nobody
//	                                          is asked──► Failed | TimedOut | Unknown
//	                                                      | NotDeployed
//
// A machine that joins while the rollout runs goes through the closed steps of
// its roles on a track of its own, then queues for the open one; the end waits
// for it.
//
// The time limit of an action or a step asks its attempts to end; those that do
// have TimedOut, one that does not is Unknown.
//
// Terminal states never change (invariant I7), but for one that never was more
// than a wait: a cell Skipped because another member runs the action once opens
// when that member leaves before it has started.
package rollout
