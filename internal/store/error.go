package store

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/slipwayhq/slipway/internal/resource"
)

// coded is an error of SQLite with its extended result code.
type coded interface {
	error
	Code() int
}

func inUse(path string) error {
	return resource.Errorf(resource.PreconditionFailed,
		"The data folder %s is in use by another Slipway server. Stop that one first, or start this one with another folder.", filepath.Dir(path))
}

// translate turns the driver's errors into ours; an error that already is ours,
// and the end of the caller's context, pass.
func translate(err error) error {
	if _, ours := errors.AsType[*resource.Error](err); ours || err == nil {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(err, sql.ErrConnDone) || errors.Is(err, sql.ErrTxDone) {
		return unavailable("The database is being closed. Please try again.", err)
	}
	driver, ok := errors.AsType[coded](err)
	if !ok {
		return translatePostgres(err)
	}
	switch driver.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT:
		return translateConstraint(driver.Code(), err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return unavailable("The database is busy. Please try again.", err)
	case sqlite3.SQLITE_FULL:
		return unavailable("The server's disk is full. Free some space; the server goes on by itself.", err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN:
		return unavailable("The server cannot write to its data folder. Check its permissions and mount; the server goes on by itself.", err)
	case sqlite3.SQLITE_IOERR:
		return unavailable("The server's disk does not answer as it should. Check the disk.", err)
	}
	return err
}

func translateConstraint(code int, err error) error {
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return exists(err)
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return &resource.Error{Code: resource.Conflict, Message: "This is in use and cannot be deleted.", Err: err}
	}
	return err
}

func exists(err error) error {
	return &resource.Error{Code: resource.Conflict, Message: "This already exists. Reload and try again.", Err: err}
}

func unavailable(message string, err error) error {
	return &resource.Error{Code: resource.Unavailable, Message: message, Err: err}
}

// again says that the same transaction may succeed when it is run again.
func (db *DB) again(err error) bool {
	return err != nil && (busy(err) || db.postgres != nil && cut(err))
}

// busy says that others were in the way (fault 26).
func busy(err error) bool {
	driver, ok := errors.AsType[coded](err)
	if !ok {
		return busyPostgres(err)
	}
	code := driver.Code() & 0xff
	return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_LOCKED
}

// lost says that the disk may have dropped what it took: nobody can know what
// a later fsync that succeeds would mean (fault 22).
func lost(err error) bool {
	driver, ok := errors.AsType[coded](err)
	if !ok {
		return false
	}
	switch driver.Code() {
	case sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return true
	}
	return false
}
