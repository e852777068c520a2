// Package e2e tells what may go wrong as stories over real processes: the
// program is built once, then servers and agents of it run on loopback, are
// killed, starved of disk, lied to and cut off, and what people see afterwards
// is compared with what was promised. README.md lists every failure and the
// test that shows it.
//
// Stories wait for what can be observed and never for a time to pass. Those
// that do not care share one server; each has an environment, a lifecycle, a
// project and machines of its own.
package e2e
