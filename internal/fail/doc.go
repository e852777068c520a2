// Package fail names the moments between two commits, or between a commit and
// what is told of it, at which a process may die (reliability M4). A product
// that is built as usual has calls of an empty function there, which the
// compiler leaves out. Built with the tag "chaos", a process dies or stops at
// the point that the chaos harness (/chaos) has armed for it:
//
//	$SLIPWAY_FAIL/<point>      "kill 3": be killed at the third time from now on
//	                           "stop 1": be stopped (SIGSTOP) the next time
//	$SLIPWAY_FAIL/<point>.hit  it was hit; the first name is gone
//
// A shim counts for itself: it lives for one attempt.
package fail
