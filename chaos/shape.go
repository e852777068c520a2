package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	_ "modernc.org/sqlite"

	"github.com/slipwayhq/slipway/internal/fail"
)

// shape is what the servers of a run are made of.
type shape interface {
	form() fail.Form
	nodes() int
	// args are those of the i-th node that are not alike everywhere.
	args(r *run, i int) []string
	env() []string
	// prepare makes what the i-th node has to find when it starts.
	prepare(r *run, i int) error
	// database opens what the servers keep, for reading.
	database(r *run) (*sql.DB, error)
	// sound says what is wrong with the database's files, if anything.
	sound(ctx context.Context, db *sql.DB) error
	close() error
}

// single is one server on SQLite.
type single struct{}

func (single) form() fail.Form { return fail.OneNode }
func (single) nodes() int      { return 1 }
func (single) env() []string   { return nil }
func (single) close() error    { return nil }

func (single) prepare(*run, int) error { return nil }

func (single) args(r *run, _ int) []string { return []string{"--data", filepath.Join(r.dir, "data")} }

func (single) database(r *run) (*sql.DB, error) {
	return sql.Open("sqlite", "file:"+filepath.Join(r.dir, "data", "slipway.db")+"?mode=ro&_pragma=busy_timeout(10000)")
}

func (single) sound(ctx context.Context, db *sql.DB) error {
	var answer string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check`).Scan(&answer); err != nil || answer != "ok" {
		return fmt.Errorf("integrity check: %s, %w", answer, err)
	}
	return nil
}

// several are three nodes on one PostgreSQL, with their blobs on an S3 server
// in this process.
type several struct {
	config  *pgx.ConnConfig
	address string
	storage *http.Server
	blobs   string
}

const bucket = "chaos"

// newSeveral makes a database of its own in the PostgreSQL at that address.
func newSeveral(ctx context.Context, address string) (*several, error) {
	if address == "" {
		return nil, errors.New("the form postgres needs a PostgreSQL: run it under tools/with-postgres, as make chaos does")
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("chaos%d", os.Getpid())
	admin := stdlib.OpenDB(*config)
	_, err = admin.ExecContext(ctx, `CREATE DATABASE `+name)
	if err := errors.Join(err, admin.Close()); err != nil {
		return nil, fmt.Errorf("make a database: %w", err)
	}
	place, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	place.Path = "/" + name
	s := &several{config: config, address: place.String()}
	s.config.Database = name
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.storage = &http.Server{Handler: gofakes3.New(backend).Server(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.storage.Serve(l) }() // until close
	s.blobs = fmt.Sprintf("s3://%s/blobs?region=us-east-1&endpoint=%s", bucket, url.QueryEscape("http://"+l.Addr().String()))
	return s, nil
}

func (s *several) form() fail.Form { return fail.AllNodes }
func (s *several) nodes() int      { return 3 }
func (s *several) close() error    { return s.storage.Close() }

func (s *several) env() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	}
}

// prepare gives every node the first one's master key: they are one server.
func (s *several) prepare(r *run, i int) error {
	if i == 0 {
		return nil
	}
	const name = "master.key"
	text, err := os.ReadFile(filepath.Join(dataOf(r, 0), name))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dataOf(r, i), 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dataOf(r, i), name), text, 0o600)
}

func dataOf(r *run, i int) string {
	if i == 0 {
		return filepath.Join(r.dir, "data")
	}
	return filepath.Join(r.dir, fmt.Sprint("data-", i+1))
}

func (s *several) args(r *run, i int) []string {
	return []string{"--data", dataOf(r, i), "--database", s.address, "--blobs", s.blobs}
}

func (s *several) database(*run) (*sql.DB, error) { return stdlib.OpenDB(*s.config), nil }

// sound has nothing to look at: PostgreSQL is not killed.
func (s *several) sound(context.Context, *sql.DB) error { return nil }
