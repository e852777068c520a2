// Package fleet keeps machines as facts: it checks their health, brings those
// that came later or did not answer to the release they should run, and, where
// a policy says so, removes those that are gone for good.
//
// Health checks are their own channel: every machine has its own deadline, and
// none takes a deployment slot (design 8). A machine that is owed a release
// does not count as healthy before it has it.
package fleet
