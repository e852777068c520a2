// Package engine owns rollouts: it claims queued ones, folds the events that
// wait for them into turns, and takes over those of a node that is gone.
//
// [Turn], [Start] and [TakeOver] are synchronous functions over a transaction,
// with no goroutine inside; [Engine] is the thin shell that drives them. The
// engine never talks to an agent: it leaves effects for the gateway and finds
// reports in the inbox, and store.Watch wakes either side (design 3, 5, 11).
package engine
