-- +goose Up
-- Operations: rows that machines write (design 4). Times are unix
-- milliseconds, 0 for "not yet"; flags are 0 or 1.

CREATE TABLE task (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  description TEXT NOT NULL,
  state TEXT NOT NULL,
  arguments TEXT NOT NULL,
  project_id TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  tenant_id TEXT NOT NULL,
  deployment_id TEXT NOT NULL,
  priority BIGINT NOT NULL,
  queue_time BIGINT NOT NULL,
  expiry_time BIGINT NOT NULL,
  start_time BIGINT NOT NULL,
  completed_time BIGINT NOT NULL,
  updated_time BIGINT NOT NULL,
  has_warnings BIGINT NOT NULL,
  error TEXT NOT NULL,
  waits_for TEXT NOT NULL,
  created_by TEXT NOT NULL,
  node TEXT NOT NULL
);
CREATE INDEX task_by_space ON task (space_id, ord);
CREATE INDEX task_by_state ON task (state, ord);
CREATE INDEX task_by_deployment ON task (deployment_id) WHERE deployment_id <> '';
CREATE INDEX task_by_project ON task (project_id, environment_id, ord);

CREATE TABLE task_lock (
  lock_key TEXT PRIMARY KEY,
  task_id TEXT NOT NULL,
  since BIGINT NOT NULL
);

CREATE TABLE rollout (
  id TEXT PRIMARY KEY,
  space_id TEXT NOT NULL,
  plan_hash TEXT NOT NULL,
  rules BIGINT NOT NULL,
  owner TEXT NOT NULL,
  epoch BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  wake_at BIGINT NOT NULL,
  state TEXT NOT NULL,
  step BIGINT NOT NULL,
  members BIGINT NOT NULL,
  next_ord BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  stopped BIGINT NOT NULL,
  unavailable BIGINT NOT NULL,
  gone BIGINT NOT NULL,
  warnings BIGINT NOT NULL,
  open_cells BIGINT NOT NULL,
  outputs BIGINT NOT NULL,
  canceled_by TEXT NOT NULL,
  cancel_after TEXT NOT NULL,
  cancel_done BIGINT NOT NULL,
  error TEXT NOT NULL,
  interruptions BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  tracking BIGINT NOT NULL
);
CREATE INDEX rollout_by_wake ON rollout (wake_at) WHERE wake_at > 0;
CREATE INDEX rollout_by_owner ON rollout (owner) WHERE owner <> '';

CREATE TABLE rollout_plan (
  rollout_id TEXT PRIMARY KEY,
  json TEXT NOT NULL
);

CREATE TABLE step_state (
  rollout_id TEXT NOT NULL,
  idx BIGINT NOT NULL,
  state TEXT NOT NULL,
  scope BIGINT NOT NULL,
  cursor_ord BIGINT NOT NULL,
  exhausted BIGINT NOT NULL,
  active BIGINT NOT NULL,
  done BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  stopped BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  ending BIGINT NOT NULL,
  end_after TEXT NOT NULL,
  zone TEXT NOT NULL,
  once TEXT NOT NULL,
  started_at BIGINT NOT NULL,
  ended_at BIGINT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (rollout_id, idx)
);

CREATE TABLE member (
  rollout_id TEXT NOT NULL,
  id TEXT NOT NULL,
  ord BIGINT NOT NULL,
  name TEXT NOT NULL,
  roles TEXT NOT NULL,
  worker BIGINT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  failed BIGINT NOT NULL,
  failed_in BIGINT NOT NULL,
  track BIGINT NOT NULL,
  zone TEXT NOT NULL,
  patience BIGINT NOT NULL,
  facts TEXT NOT NULL,
  PRIMARY KEY (rollout_id, id)
);
CREATE UNIQUE INDEX member_by_ord ON member (rollout_id, ord);
CREATE INDEX member_by_machine ON member (id);

CREATE TABLE cell (
  rollout_id TEXT NOT NULL,
  step BIGINT NOT NULL,
  action BIGINT NOT NULL,
  member TEXT NOT NULL,
  state TEXT NOT NULL,
  is_open BIGINT NOT NULL,
  tries BIGINT NOT NULL,
  attempt TEXT NOT NULL,
  executor TEXT NOT NULL,
  patience BIGINT NOT NULL,
  reason TEXT NOT NULL,
  due_at BIGINT NOT NULL,
  silent_at BIGINT NOT NULL,
  limit_at BIGINT NOT NULL,
  ending BIGINT NOT NULL,
  held BIGINT NOT NULL,
  retried BIGINT NOT NULL,
  ran BIGINT NOT NULL,
  interruption BIGINT NOT NULL,
  started_at BIGINT NOT NULL,
  ended_at BIGINT NOT NULL,
  PRIMARY KEY (rollout_id, step, action, member)
);
CREATE INDEX cell_open ON cell (rollout_id, step, action, member) WHERE is_open = 1;
CREATE INDEX cell_due ON cell (rollout_id, due_at) WHERE is_open = 1 AND due_at > 0;
CREATE INDEX cell_by_executor ON cell (executor, rollout_id) WHERE is_open = 1;
CREATE INDEX cell_running ON cell (rollout_id) WHERE is_open = 1 AND state = 'Running';

CREATE TABLE attempt (
  id TEXT PRIMARY KEY,
  rollout_id TEXT NOT NULL,
  step BIGINT NOT NULL,
  action BIGINT NOT NULL,
  member TEXT NOT NULL,
  executor TEXT NOT NULL,
  try BIGINT NOT NULL,
  outputs BIGINT NOT NULL,
  payload_hash TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  sent_at BIGINT NOT NULL,
  started_at BIGINT NOT NULL,
  ended_at BIGINT NOT NULL,
  outcome TEXT NOT NULL,
  exit_code BIGINT NOT NULL,
  reason TEXT NOT NULL,
  log_length BIGINT NOT NULL,
  warnings BIGINT NOT NULL
);
CREATE INDEX attempt_by_cell ON attempt (rollout_id, step, action, member);
CREATE INDEX attempt_open ON attempt (executor) WHERE outcome = '';

-- A question that a cell waits on. The rollout's owner writes closed_at and
-- closed_why, people what follows them; the first answer wins.
CREATE TABLE interruption (
  id TEXT PRIMARY KEY,
  rollout_id TEXT NOT NULL,
  n BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  step BIGINT NOT NULL,
  action BIGINT NOT NULL,
  member TEXT NOT NULL,
  attempt TEXT NOT NULL,
  title TEXT NOT NULL,
  text TEXT NOT NULL,
  choices TEXT NOT NULL,
  teams TEXT NOT NULL,
  asked_at BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  closed_at BIGINT NOT NULL,
  closed_why TEXT NOT NULL,
  responsible TEXT NOT NULL,
  responsible_name TEXT NOT NULL,
  answer TEXT NOT NULL,
  notes TEXT NOT NULL,
  answered_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX interruption_by_rollout ON interruption (rollout_id, n);
CREATE INDEX interruption_by_space ON interruption (space_id, asked_at);
CREATE INDEX interruption_open ON interruption (rollout_id) WHERE closed_at = 0 AND answered_at = 0;

-- Failed tasks whose environment is to get the release before back.
CREATE TABLE roll_back (
  task_id TEXT PRIMARY KEY,
  at BIGINT NOT NULL
);

CREATE TABLE receipt (
  attempt_id TEXT PRIMARY KEY,
  machine_id TEXT NOT NULL,
  package_id TEXT NOT NULL,
  version TEXT NOT NULL,
  package_sha256 TEXT NOT NULL,
  install_dir TEXT NOT NULL,
  tree TEXT NOT NULL,
  files TEXT NOT NULL,
  received_at BIGINT NOT NULL
);

CREATE TABLE attempt_artifact (
  attempt_id TEXT NOT NULL,
  item TEXT NOT NULL,
  name TEXT NOT NULL,
  size BIGINT NOT NULL,
  sha256 TEXT NOT NULL,
  PRIMARY KEY (attempt_id, item)
);
CREATE INDEX attempt_artifact_bytes ON attempt_artifact (sha256);

CREATE TABLE output_variable (
  rollout_id TEXT NOT NULL,
  n BIGINT NOT NULL,
  step BIGINT NOT NULL,
  action BIGINT NOT NULL,
  member TEXT NOT NULL,
  member_name TEXT NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  secret BIGINT NOT NULL,
  box BLOB,
  source TEXT NOT NULL,
  PRIMARY KEY (rollout_id, n)
);

CREATE TABLE rollout_event (
  rollout_id TEXT NOT NULL,
  seq BIGINT NOT NULL,
  at BIGINT NOT NULL,
  kind TEXT NOT NULL,
  json TEXT NOT NULL,
  -- guard:sequence I15: the history of a rollout has one event per number; less `PRIMARY KEY (rollout_id, seq)`, with `CHECK (seq > 0)`; seen by ./internal/store TestANumberOfTheHistoryIsGivenOnce
  PRIMARY KEY (rollout_id, seq)
);

CREATE TABLE effect (
  rollout_id TEXT NOT NULL,
  seq BIGINT NOT NULL,
  n BIGINT NOT NULL,
  epoch BIGINT NOT NULL,
  kind TEXT NOT NULL,
  attempt TEXT NOT NULL,
  machine TEXT NOT NULL,
  grace_ms BIGINT NOT NULL,
  PRIMARY KEY (rollout_id, seq, n)
);
CREATE INDEX effect_by_machine ON effect (machine, rollout_id, seq, n);
CREATE INDEX effect_by_attempt ON effect (attempt);

CREATE TABLE inbox (
  n INTEGER PRIMARY KEY,
  rollout_id TEXT NOT NULL,
  dedup_key TEXT NOT NULL,
  json TEXT NOT NULL,
  boxes TEXT NOT NULL,
  UNIQUE (rollout_id, dedup_key)
);

CREATE TABLE slot (
  n INTEGER PRIMARY KEY,
  machine TEXT NOT NULL,
  rollout_id TEXT NOT NULL,
  step BIGINT NOT NULL,
  action BIGINT NOT NULL,
  member TEXT NOT NULL,
  since BIGINT NOT NULL,
  granted_at BIGINT NOT NULL,
  UNIQUE (rollout_id, step, action, member)
);
-- guard:slot-index I8: nor does the database let a machine have two holders; less `UNIQUE INDEX`, with `INDEX`; seen by ./internal/store TestAMachineHasOneHolder
CREATE UNIQUE INDEX slot_holder ON slot (machine) WHERE granted_at > 0;
CREATE INDEX slot_queue ON slot (machine, n);

CREATE TABLE desired (
  space_id TEXT NOT NULL,
  project_id TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  tenant_id TEXT NOT NULL,
  release_id TEXT NOT NULL,
  deployment_id TEXT NOT NULL,
  previous_release_id TEXT NOT NULL,
  task_id TEXT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (project_id, environment_id, tenant_id)
);
CREATE INDEX desired_by_environment ON desired (environment_id);

CREATE TABLE deployed (
  machine_id TEXT NOT NULL,
  project_id TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  tenant_id TEXT NOT NULL,
  release_id TEXT NOT NULL,
  task_id TEXT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (machine_id, project_id, environment_id, tenant_id)
);

CREATE TABLE agent_session (
  machine_id TEXT PRIMARY KEY,
  node TEXT NOT NULL,
  state TEXT NOT NULL,
  incarnation BIGINT NOT NULL,
  generation BIGINT NOT NULL,
  connected_at BIGINT NOT NULL,
  lost_at BIGINT NOT NULL,
  heard_at BIGINT NOT NULL,
  reason TEXT NOT NULL,
  facts TEXT NOT NULL,
  rival TEXT NOT NULL DEFAULT '', -- the other node with a link of the same identity
  contested_at BIGINT NOT NULL DEFAULT 0 -- when two links that answer were last there
);
CREATE INDEX agent_session_by_node ON agent_session (node);

CREATE TABLE dial (
  machine_id TEXT PRIMARY KEY,
  owner TEXT NOT NULL -- node and epoch
);

CREATE TABLE agent_question (
  id TEXT PRIMARY KEY,
  machine_id TEXT NOT NULL,
  asked_at BIGINT NOT NULL,
  question TEXT NOT NULL,
  answer TEXT NOT NULL DEFAULT '',
  error TEXT NOT NULL DEFAULT '',
  answered_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX agent_question_open ON agent_question (machine_id) WHERE answered_at = 0;

CREATE TABLE duty (
  name TEXT PRIMARY KEY,
  owner TEXT NOT NULL -- node and epoch
);

CREATE TABLE installation (
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL
);

CREATE TABLE node (
  id TEXT PRIMARY KEY,
  epoch BIGINT NOT NULL,
  lease_until BIGINT NOT NULL, -- 0: it ended, and what it left was taken over
  started_at BIGINT NOT NULL,
  draining BIGINT NOT NULL, -- since; 0: it is not
  version TEXT NOT NULL
);

CREATE TABLE machine_fact (
  machine_id TEXT PRIMARY KEY,
  checked_at BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  silent_ms BIGINT NOT NULL
);

-- What a machine still has to get before it counts as healthy: it came after
-- the release, or did not answer while the release was rolled out.
CREATE TABLE owed (
  machine_id TEXT NOT NULL,
  project_id TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  tenant_id TEXT NOT NULL,
  since BIGINT NOT NULL,
  reason TEXT NOT NULL,
  task_id TEXT NOT NULL,
  error TEXT NOT NULL,
  PRIMARY KEY (machine_id, project_id, environment_id, tenant_id)
);
