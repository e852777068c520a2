-- +goose Up
-- Each time that the data were put back from a backup (fault 33). Until a
-- person confirms it, nothing starts by itself.
CREATE TABLE restored (
  epoch BIGINT PRIMARY KEY,
  backup_at BIGINT NOT NULL,
  restored_at BIGINT NOT NULL,
  tasks TEXT NOT NULL,
  confirmed_at BIGINT NOT NULL,
  confirmed_by TEXT NOT NULL
);

-- What agents keep of attempts that these data do not know, or know no end of.
CREATE TABLE unmatched_attempt (
  machine_id TEXT NOT NULL,
  attempt_id TEXT NOT NULL,
  seen_at BIGINT NOT NULL,
  state TEXT NOT NULL,
  outcome TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (machine_id, attempt_id)
);
