-- +goose Up
-- A list of tasks stays fast with a million of them: every filter that is
-- common has its index with the order of the list, and how many there are is
-- kept by what changes them, whoever does. On PostgreSQL the counts are spread
-- over eight rows each, which writers choose by chance, so that they rarely
-- meet.
CREATE INDEX task_by_ord ON task (ord);
CREATE INDEX task_by_space_state ON task (space_id, state, ord);
CREATE INDEX task_by_space_name ON task (space_id, name, ord);
CREATE INDEX task_of_project ON task (project_id, ord);
CREATE INDEX task_of_project_state ON task (project_id, state, ord);
CREATE INDEX task_of_environment ON task (environment_id, ord);
CREATE INDEX task_of_tenant ON task (tenant_id, space_id, ord);
CREATE INDEX task_queue ON task (priority DESC, ord) WHERE state = 'Queued';

CREATE TABLE task_count (
  space_id TEXT NOT NULL,
  state TEXT NOT NULL,
  name TEXT NOT NULL,
  project_id TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  shard BIGINT NOT NULL,
  n BIGINT NOT NULL,
  PRIMARY KEY (space_id, state, name, project_id, environment_id, shard)
);
INSERT INTO task_count (space_id, state, name, project_id, environment_id, shard, n)
  SELECT space_id, state, name, project_id, environment_id, 0, COUNT(*) FROM task GROUP BY space_id, state, name, project_id, environment_id;

-- only sqlite3
-- +goose StatementBegin
CREATE TRIGGER task_comes AFTER INSERT ON task BEGIN
  INSERT INTO task_count (space_id, state, name, project_id, environment_id, shard, n)
    VALUES (NEW.space_id, NEW.state, NEW.name, NEW.project_id, NEW.environment_id, 0, 1)
    ON CONFLICT (space_id, state, name, project_id, environment_id, shard) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER task_changes AFTER UPDATE OF state ON task WHEN OLD.state <> NEW.state BEGIN
  UPDATE task_count SET n = n - 1 WHERE space_id = OLD.space_id AND state = OLD.state AND name = OLD.name
    AND project_id = OLD.project_id AND environment_id = OLD.environment_id AND shard = 0;
  INSERT INTO task_count (space_id, state, name, project_id, environment_id, shard, n)
    VALUES (NEW.space_id, NEW.state, NEW.name, NEW.project_id, NEW.environment_id, 0, 1)
    ON CONFLICT (space_id, state, name, project_id, environment_id, shard) DO UPDATE SET n = n + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER task_goes AFTER DELETE ON task BEGIN
  UPDATE task_count SET n = n - 1 WHERE space_id = OLD.space_id AND state = OLD.state AND name = OLD.name
    AND project_id = OLD.project_id AND environment_id = OLD.environment_id AND shard = 0;
END;
-- +goose StatementEnd
-- end only

-- only postgres
-- +goose StatementBegin
CREATE FUNCTION count_task() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  spread BIGINT := floor(random() * 8);
BEGIN
  IF TG_OP <> 'INSERT' THEN
    INSERT INTO task_count (space_id, state, name, project_id, environment_id, shard, n)
      VALUES (OLD.space_id, OLD.state, OLD.name, OLD.project_id, OLD.environment_id, spread, -1)
      ON CONFLICT (space_id, state, name, project_id, environment_id, shard) DO UPDATE SET n = task_count.n - 1;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    INSERT INTO task_count (space_id, state, name, project_id, environment_id, shard, n)
      VALUES (NEW.space_id, NEW.state, NEW.name, NEW.project_id, NEW.environment_id, spread, 1)
      ON CONFLICT (space_id, state, name, project_id, environment_id, shard) DO UPDATE SET n = task_count.n + 1;
  END IF;
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER task_comes AFTER INSERT OR DELETE ON task FOR EACH ROW EXECUTE FUNCTION count_task();
CREATE TRIGGER task_changes AFTER UPDATE OF state ON task FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION count_task();
-- end only
