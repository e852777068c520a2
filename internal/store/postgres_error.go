package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/slipwayhq/slipway/internal/resource"
)

// Codes of PostgreSQL (its manual's appendix A).
const (
	pgUnique         = "23505"
	pgForeignKey     = "23503"
	pgSerialization  = "40001"
	pgDeadlock       = "40P01"
	pgLockTimeout    = "55P03"
	pgReadOnly       = "25006" // a standby, right after a failover
	pgIdleTooLong    = "25P03"
	pgStaleStatement = "0A000" // a prepared one, after a migration
	pgCanceled       = "57014" // the statement took too long
	pgDiskFull       = "53100"
	pgTooMany        = "53300"
)

func pgCode(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// busyPostgres says that others were in the way (fault 26).
func busyPostgres(err error) bool {
	switch pgCode(err) {
	case pgSerialization, pgDeadlock, pgLockTimeout, pgStaleStatement, pgReadOnly:
		return true
	}
	return false
}

// cut says that the connection to PostgreSQL broke, or could not be made, so
// that nothing was committed: pgTx.Commit answers for itself (fault 25).
func cut(err error) bool {
	if _, ours := errors.AsType[*resource.Error](err); ours || err == nil {
		return false
	}
	if _, lite := errors.AsType[coded](err); lite {
		return false
	}
	if code := pgCode(err); code != "" {
		return code == pgIdleTooLong || code == pgTooMany || strings.HasPrefix(code, "08") || strings.HasPrefix(code, "57P")
	}
	if _, connecting := errors.AsType[*pgconn.ConnectError](err); connecting {
		return true
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, errCut) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, sql.ErrConnDone) || pgconn.SafeToRetry(err)
}

// doubled says that another node wrote the same row first.
func doubled(err error) bool { return pgCode(err) == pgUnique }

func translatePostgres(err error) error {
	switch code := pgCode(err); {
	case code == pgUnique:
		return exists(err)
	case code == pgForeignKey:
		return &resource.Error{Code: resource.Conflict, Message: "This is in use and cannot be deleted.", Err: err}
	case busyPostgres(err):
		return unavailable("The database is busy. Please try again.", err)
	case code == pgCanceled:
		return unavailable("The database took too long to answer. Please try again.", err)
	case code == pgDiskFull:
		return unavailable("The database's disk is full. Free some space; the server goes on by itself.", err)
	case cut(err):
		return unavailable("The database does not answer. The server goes on by itself as soon as it does; please try again.", err)
	}
	return err
}
