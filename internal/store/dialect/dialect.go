// Package dialect holds everything in which the databases of Slipway differ.
// All other SQL is one text for both (design 4). The list is closed: what it
// does not name has to be written portably.
package dialect

import "strings"

// Dialect is one database's own words.
type Dialect struct {
	// Goose is the dialect's name for the migrations.
	Goose string
	// Contains is a condition: the text of column contains the parameter.
	Contains func(column, parameter string) string
	// Now is an expression: the database's clock in unix milliseconds.
	Now string
	// SkipLocked ends a SELECT that claims rows beside other nodes.
	SkipLocked string
}

// SQLite is the built-in database.
func SQLite() Dialect {
	return Dialect{
		Goose:    "sqlite3",
		Contains: func(column, parameter string) string { return "instr(" + column + ", " + parameter + ") > 0" },
		Now:      "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
	}
}

// Quote makes an identifier of a name that may be a word of SQL ("user",
// "release").
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
