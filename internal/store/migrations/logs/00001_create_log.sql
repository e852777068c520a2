-- +goose Up
-- Output of attempts: their bytes without a gap, in chunks as they came.
CREATE TABLE log_stream (
  attempt TEXT PRIMARY KEY,
  length BIGINT NOT NULL,
  updated BIGINT NOT NULL
);

CREATE TABLE log_chunk (
  attempt TEXT NOT NULL,
  at BIGINT NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (attempt, at)
);
