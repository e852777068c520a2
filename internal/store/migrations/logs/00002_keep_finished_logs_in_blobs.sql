-- +goose Up
-- A finished log is one blob, and its first blob_length bytes are no rows any
-- more. sealed is 1 while all of it is there.
ALTER TABLE log_stream ADD COLUMN blob TEXT NOT NULL DEFAULT '';
ALTER TABLE log_stream ADD COLUMN blob_length BIGINT NOT NULL DEFAULT 0;
ALTER TABLE log_stream ADD COLUMN sealed BIGINT NOT NULL DEFAULT 0;
CREATE INDEX log_stream_open ON log_stream (attempt) WHERE sealed = 0;
CREATE INDEX log_stream_blob ON log_stream (blob) WHERE blob <> '';

-- only sqlite3
ALTER TABLE log_chunk ADD COLUMN day BIGINT NOT NULL DEFAULT 0;
-- end only

-- only postgres
-- Rows of a day (days since 1970) lie together, so that they leave together,
-- as a table: nothing is left to clean up. A day without a part of its own
-- goes into the last.
ALTER TABLE log_chunk RENAME TO log_chunk_undivided;
CREATE TABLE log_chunk (
  attempt TEXT NOT NULL,
  at BIGINT NOT NULL,
  data BLOB NOT NULL,
  day BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (attempt, at, day)
) PARTITION BY RANGE (day);
CREATE TABLE log_chunk_other PARTITION OF log_chunk DEFAULT;
INSERT INTO log_chunk (attempt, at, data) SELECT attempt, at, data FROM log_chunk_undivided;
DROP TABLE log_chunk_undivided;
-- end only
