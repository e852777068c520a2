// Package store keeps everything Slipway knows in a database: documents
// (declared by resource.Kind, one table each), operations (rows that machines
// write, in ops_*.go), audit, and logs (in a database of their own).
//
// A transaction is a function: DB.Write runs it with the one writer, DB.Read
// with one of many readers on a snapshot. A function given to Write may run
// more than once, and only its last run counts: it must have no effect but
// through its Tx. What Write has returned without an error is on disk (fault
// 23).
//
// Errors that a person can act on are *resource.Error; the driver's own are
// translated here and nowhere else. When the disk is full or read-only, writes
// fail with Unavailable, reads go on, and the first write that succeeds again
// needs no restart (fault 21). After a failed fsync nothing is written any
// more, and Fatal says so: the process has to exit (fault 22).
package store
