// Package sim runs the product's own orchestration under a seeded scheduler:
// engine rounds and takeovers, the gateway's deliveries, reports and sessions,
// the agents' journals and decisions, on the real store (design 11). What is
// simulated is what lies around them: network, disks, clocks, processes and
// machines, and they fail as reliability.md lists it.
//
//	World ── Node ──── engine.Engine, gateway.Core ──► store.DB (SQLite)
//	   │       │ Link: delay, loss, copies, cuts
//	   └──── Machine ─ agent.Core, agent.Journal ──► Disk: lost writes, torn tails
//	            └── shims and scripts, which write down the truth
//
// One seed is one run, bit for bit: everything that may differ is drawn from
// the seed, and only one thing happens at a time. After every event the
// invariants are checked; a violation stops the run and leaves its history.
package sim
