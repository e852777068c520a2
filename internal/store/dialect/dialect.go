// Package dialect holds everything in which the databases of Slipway differ.
// All other SQL is one text for both (design 4). The list is closed: what it
// does not name has to be written portably.
package dialect

import (
	"regexp"
	"strings"
)

// Dialect is one database's own words.
type Dialect struct {
	// Goose is the dialect's name for the migrations.
	Goose string
	// Contains is a condition: the text of column contains the parameter.
	Contains func(column, parameter string) string
	// Now is an expression: the database's clock in unix milliseconds.
	Now string
	// Schema makes a migration of the database's own of one that is written
	// with SQLite's types: BLOB, INTEGER PRIMARY KEY for a number that the
	// database counts, and TEXT that is compared byte by byte. What stands between
	// the lines "-- only NAME" and "-- end only" is for the database of that Goose
	// name.
	Schema func(migration string) string
}

// SQLite is the built-in database.
func SQLite() Dialect {
	return Dialect{
		Goose:    "sqlite3",
		Contains: func(column, parameter string) string { return "instr(" + column + ", " + parameter + ") > 0" },
		Now:      "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
		Schema:   func(migration string) string { return own(migration, "sqlite3") },
	}
}

// PostgreSQL is the database of several nodes.
func PostgreSQL() Dialect {
	return Dialect{
		Goose:    "postgres",
		Contains: func(column, parameter string) string { return "strpos(" + column + ", " + parameter + ") > 0" },
		Now:      "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
		Schema:   postgresSchema,
	}
}

var (
	counted = regexp.MustCompile(`\bINTEGER PRIMARY KEY\b`)
	bytes   = regexp.MustCompile(`\bBLOB\b`)
	text    = regexp.MustCompile(`\bTEXT\b`)
)

var only = regexp.MustCompile(`(?s)-- only (\w+)\n(.*?)-- end only\n`)

// own leaves out what is for another database.
func own(migration, name string) string {
	return only.ReplaceAllStringFunc(migration, func(part string) string {
		if m := only.FindStringSubmatch(part); m[1] == name {
			return m[2]
		}
		return ""
	})
}

func postgresSchema(migration string) string {
	migration = own(migration, "postgres")
	migration = counted.ReplaceAllString(migration, "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY")
	migration = bytes.ReplaceAllString(migration, "BYTEA")
	return text.ReplaceAllString(migration, `TEXT COLLATE "C"`)
}

// Quote makes an identifier of a name that may be a word of SQL ("user",
// "release").
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
