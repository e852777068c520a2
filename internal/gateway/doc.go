// Package gateway is the server's side of the agents: the links in both dial
// directions, the sessions on them, the delivery of effects and the receipt of
// logs and results (design 5.7, 6).
//
// It meets the engine only in rows. The engine commits an effect; the gateway
// delivers it and answers with an event in the rollout's inbox:
//
//	effect Start   ─► Have, Put …, MarkSent, Start ─► Started ─► Follow ─► Ended
//	effect Cancel  ─► Cancel, or a tombstone where the agent never saw it ─► Ended(NotStarted)
//	effect Forget  ─► Forget; nothing comes back
//
// [Core] holds all of that as synchronous functions over interfaces, without a
// goroutine, a timer or a clock of its own: a simulation calls the very
// functions that the product runs (design 11). [Gateway] is the thin shell of
// goroutines, sockets and timers around it.
//
// A crash at any point is safe: an effect is deleted in the transaction that
// stores what it led to; a start is idempotent by attempt id; logs go on from
// the offset that is committed; a result stays on the agent until Forget.
package gateway
