package shop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Database is the shop's data: one file, read for each page, with the number
// of its schema.
type Database struct {
	Schema   int
	Products []Product
}

// Product is one thing the shop sells; Price is in cents.
type Product struct {
	Name  string
	Price int
}

// Cost is the price for people.
func (p Product) Cost() string { return fmt.Sprintf("%d.%02d", p.Price/100, p.Price%100) }

// file is the path in a connection string of the form "Data Source=PATH".
func file(connection string) (string, error) {
	for part := range strings.SplitSeq(connection, ";") {
		if key, value, ok := strings.Cut(part, "="); ok && strings.EqualFold(strings.TrimSpace(key), "Data Source") {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("the connection string %q names no database", connection)
}

// OpenDatabase reads the database that the connection string names.
func OpenDatabase(connection string) (Database, error) {
	name, err := file(connection)
	if err != nil {
		return Database{}, err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return Database{}, fmt.Errorf("open database: %w", err)
	}
	var db Database
	if err := json.Unmarshal(data, &db); err != nil {
		return Database{}, fmt.Errorf("open database: %w", err)
	}
	return db, nil
}

// Migrate brings the database from exactly the schema before to this one; on a
// database that has it already it fails: a migration that ran twice must show.
func Migrate(connection string, schema int) error {
	name, err := file(connection)
	if err != nil {
		return err
	}
	db, err := OpenDatabase(connection)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if db.Schema != schema-1 {
		return fmt.Errorf("the database has schema %d; this migration leads from %d to %d", db.Schema, schema-1, schema)
	}
	db.Schema = schema
	if schema == 1 {
		db.Products = []Product{{"Anchor", 4900}, {"Rope, 20 m", 1850}, {"Fender", 1200}, {"Flag", 700}}
	}
	data, err := json.MarshalIndent(db, "", "  ")
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := os.WriteFile(name+".new", data, 0o644); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return os.Rename(name+".new", name)
}
