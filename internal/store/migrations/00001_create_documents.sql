-- +goose Up
-- Documents: what people edit (design 4). One table for each resource.Kind: the
-- JSON, its sealed secrets, and the columns that are declared for filters and
-- order. Times are unix milliseconds, flags are 0 or 1.

CREATE TABLE counter (
  name TEXT PRIMARY KEY,
  next BIGINT NOT NULL
);

CREATE TABLE data_key (
  id TEXT PRIMARY KEY,
  wrapped BLOB NOT NULL,
  created BIGINT NOT NULL
);

-- Lists and references of documents: what they are found by, and what stops the
-- deletion of their targets.
CREATE TABLE document_value (
  document_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  field TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (document_id, field, value)
);
CREATE INDEX document_value_by_value ON document_value (value, kind, field);

CREATE TABLE audit (
  ord BIGINT PRIMARY KEY,
  space_id TEXT NOT NULL,
  category TEXT NOT NULL,
  user_id TEXT NOT NULL,
  username TEXT NOT NULL,
  is_service BIGINT NOT NULL,
  established_with TEXT NOT NULL,
  user_agent TEXT NOT NULL,
  ip_address TEXT NOT NULL,
  occurred BIGINT NOT NULL,
  message TEXT NOT NULL,
  message_references TEXT NOT NULL,
  comments TEXT NOT NULL,
  details TEXT NOT NULL,
  changes TEXT NOT NULL,
  seal BIGINT NOT NULL -- of audit_seal; 0: not sealed yet
);
CREATE INDEX audit_by_seal ON audit (seal, ord);
CREATE INDEX audit_by_space ON audit (space_id, ord);
CREATE INDEX audit_by_user ON audit (user_id, ord);

CREATE TABLE audit_document (
  document_id TEXT NOT NULL,
  ord BIGINT NOT NULL,
  PRIMARY KEY (document_id, ord)
);
CREATE INDEX audit_document_by_ord ON audit_document (ord);

-- The chain over audit: each sum covers the one before and the records that
-- name its own number.
CREATE TABLE audit_seal (
  upto BIGINT PRIMARY KEY,
  after BIGINT NOT NULL,
  records BIGINT NOT NULL,
  sum TEXT NOT NULL,
  sealed BIGINT NOT NULL
);

CREATE TABLE "space" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  is_default BIGINT NOT NULL
);
CREATE UNIQUE INDEX space_by_name ON "space" (space_id, name_key);
CREATE UNIQUE INDEX space_by_slug ON "space" (space_id, slug);

CREATE TABLE "user" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  display_name TEXT NOT NULL,
  email_address TEXT NOT NULL,
  is_service BIGINT NOT NULL,
  is_active BIGINT NOT NULL
);
CREATE UNIQUE INDEX user_by_name ON "user" (space_id, name_key);

CREATE TABLE "api_key" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  user_id TEXT NOT NULL,
  key_hash TEXT NOT NULL
);
CREATE INDEX api_key_by_space ON "api_key" (space_id, ord);
CREATE INDEX api_key_by_user_id ON "api_key" (user_id);
CREATE INDEX api_key_by_key_hash ON "api_key" (key_hash);

CREATE TABLE "user_role" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL
);
CREATE UNIQUE INDEX user_role_by_name ON "user_role" (space_id, name_key);

CREATE TABLE "team" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL
);
CREATE UNIQUE INDEX team_by_name ON "team" (space_id, name_key);
CREATE UNIQUE INDEX team_by_slug ON "team" (space_id, slug);

CREATE TABLE "scoped_user_role" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  team_id TEXT NOT NULL,
  user_role_id TEXT NOT NULL
);
CREATE INDEX scoped_user_role_by_space ON "scoped_user_role" (space_id, ord);
CREATE INDEX scoped_user_role_by_team_id ON "scoped_user_role" (team_id);
CREATE INDEX scoped_user_role_by_user_role_id ON "scoped_user_role" (user_role_id);

CREATE TABLE "environment" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  sort_order BIGINT NOT NULL
);
CREATE UNIQUE INDEX environment_by_name ON "environment" (space_id, name_key);
CREATE UNIQUE INDEX environment_by_slug ON "environment" (space_id, slug);

CREATE TABLE "lifecycle" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL
);
CREATE UNIQUE INDEX lifecycle_by_name ON "lifecycle" (space_id, name_key);
CREATE UNIQUE INDEX lifecycle_by_slug ON "lifecycle" (space_id, slug);

CREATE TABLE "project_group" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL
);
CREATE UNIQUE INDEX project_group_by_name ON "project_group" (space_id, name_key);
CREATE UNIQUE INDEX project_group_by_slug ON "project_group" (space_id, slug);

CREATE TABLE "machine_policy" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  is_default BIGINT NOT NULL
);
CREATE UNIQUE INDEX machine_policy_by_name ON "machine_policy" (space_id, name_key);

CREATE TABLE "worker_pool" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  is_default BIGINT NOT NULL,
  sort_order BIGINT NOT NULL
);
CREATE UNIQUE INDEX worker_pool_by_name ON "worker_pool" (space_id, name_key);
CREATE UNIQUE INDEX worker_pool_by_slug ON "worker_pool" (space_id, slug);

CREATE TABLE "feed" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  feed_type TEXT NOT NULL
);
CREATE UNIQUE INDEX feed_by_name ON "feed" (space_id, name_key);
CREATE UNIQUE INDEX feed_by_slug ON "feed" (space_id, slug);

CREATE TABLE "package" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  feed_id TEXT NOT NULL,
  package_id TEXT NOT NULL,
  package_version TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  published BIGINT NOT NULL
);
CREATE UNIQUE INDEX package_by_name ON "package" (space_id, feed_id, name_key);
CREATE INDEX package_by_package_id ON "package" (package_id);
CREATE INDEX package_by_sha256 ON "package" (sha256);

CREATE TABLE "library_variable_set" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  content_type TEXT NOT NULL
);
CREATE UNIQUE INDEX library_variable_set_by_name ON "library_variable_set" (space_id, content_type, name_key);

CREATE TABLE "project" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  lifecycle_id TEXT NOT NULL,
  project_group_id TEXT NOT NULL,
  cloned_from_project_id TEXT NOT NULL,
  is_disabled BIGINT NOT NULL
);
CREATE UNIQUE INDEX project_by_name ON "project" (space_id, name_key);
CREATE UNIQUE INDEX project_by_slug ON "project" (space_id, slug);
CREATE INDEX project_by_lifecycle_id ON "project" (lifecycle_id);
CREATE INDEX project_by_project_group_id ON "project" (project_group_id);
CREATE INDEX project_by_cloned_from_project_id ON "project" (cloned_from_project_id);

CREATE TABLE "channel" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  project_id TEXT NOT NULL,
  lifecycle_id TEXT NOT NULL,
  is_default BIGINT NOT NULL
);
CREATE UNIQUE INDEX channel_by_name ON "channel" (space_id, project_id, name_key);
CREATE UNIQUE INDEX channel_by_slug ON "channel" (space_id, project_id, slug);
CREATE INDEX channel_by_lifecycle_id ON "channel" (lifecycle_id);

CREATE TABLE "deployment_process" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  project_id TEXT NOT NULL
);
CREATE INDEX deployment_process_by_space ON "deployment_process" (space_id, ord);
CREATE INDEX deployment_process_by_project_id ON "deployment_process" (project_id);

CREATE TABLE "variable_set" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  owner_id TEXT NOT NULL
);
CREATE INDEX variable_set_by_space ON "variable_set" (space_id, ord);
CREATE INDEX variable_set_by_owner_id ON "variable_set" (owner_id);

CREATE TABLE "release" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  project_id TEXT NOT NULL,
  channel_id TEXT NOT NULL,
  assembled BIGINT NOT NULL,
  variable_set_id TEXT NOT NULL,
  process_id TEXT NOT NULL
);
CREATE UNIQUE INDEX release_by_name ON "release" (space_id, project_id, name_key);
CREATE INDEX release_by_channel_id ON "release" (channel_id);
CREATE INDEX release_by_variable_set_id ON "release" (variable_set_id);
CREATE INDEX release_by_process_id ON "release" (process_id);

CREATE TABLE "deployment" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  project_id TEXT NOT NULL,
  release_id TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  tenant_id TEXT NOT NULL,
  channel_id TEXT NOT NULL,
  task_id TEXT NOT NULL,
  created BIGINT NOT NULL
);
CREATE INDEX deployment_by_space ON "deployment" (space_id, ord);
CREATE INDEX deployment_by_project_id ON "deployment" (project_id);
CREATE INDEX deployment_by_release_id ON "deployment" (release_id);
CREATE INDEX deployment_by_environment_id ON "deployment" (environment_id);
CREATE INDEX deployment_by_tenant_id ON "deployment" (tenant_id);
CREATE INDEX deployment_by_channel_id ON "deployment" (channel_id);
CREATE INDEX deployment_by_task_id ON "deployment" (task_id);

CREATE TABLE "machine" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  machine_policy_id TEXT NOT NULL,
  is_disabled BIGINT NOT NULL,
  health_status TEXT NOT NULL,
  communication_style TEXT NOT NULL,
  thumbprint TEXT NOT NULL,
  uri TEXT NOT NULL,
  key_sha256 TEXT NOT NULL,
  cloud_instance TEXT NOT NULL,
  shell_name TEXT NOT NULL,
  operating_system TEXT NOT NULL
);
CREATE UNIQUE INDEX machine_by_name ON "machine" (space_id, name_key);
CREATE UNIQUE INDEX machine_by_slug ON "machine" (space_id, slug);
CREATE INDEX machine_by_machine_policy_id ON "machine" (machine_policy_id);
CREATE INDEX machine_by_thumbprint ON "machine" (thumbprint);
CREATE INDEX machine_by_uri ON "machine" (uri);
CREATE INDEX machine_by_key_sha256 ON "machine" (key_sha256);
CREATE INDEX machine_by_cloud_instance ON "machine" (cloud_instance);

CREATE TABLE "worker" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  machine_policy_id TEXT NOT NULL,
  is_disabled BIGINT NOT NULL,
  health_status TEXT NOT NULL,
  communication_style TEXT NOT NULL,
  thumbprint TEXT NOT NULL,
  uri TEXT NOT NULL,
  key_sha256 TEXT NOT NULL,
  cloud_instance TEXT NOT NULL,
  shell_name TEXT NOT NULL,
  operating_system TEXT NOT NULL
);
CREATE UNIQUE INDEX worker_by_name ON "worker" (space_id, name_key);
CREATE UNIQUE INDEX worker_by_slug ON "worker" (space_id, slug);
CREATE INDEX worker_by_machine_policy_id ON "worker" (machine_policy_id);
CREATE INDEX worker_by_thumbprint ON "worker" (thumbprint);
CREATE INDEX worker_by_uri ON "worker" (uri);
CREATE INDEX worker_by_key_sha256 ON "worker" (key_sha256);
CREATE INDEX worker_by_cloud_instance ON "worker" (cloud_instance);

CREATE TABLE "agent_token" (
  id TEXT PRIMARY KEY,
  ord BIGINT NOT NULL,
  space_id TEXT NOT NULL,
  name TEXT NOT NULL,
  name_key TEXT NOT NULL,
  slug TEXT NOT NULL,
  version BIGINT NOT NULL,
  format BIGINT NOT NULL,
  json TEXT NOT NULL,
  secrets TEXT NOT NULL,
  token_hash TEXT NOT NULL,
  machine_policy_id TEXT NOT NULL
);
CREATE INDEX agent_token_by_space ON "agent_token" (space_id, ord);
CREATE INDEX agent_token_by_token_hash ON "agent_token" (token_hash);
CREATE INDEX agent_token_by_machine_policy_id ON "agent_token" (machine_policy_id);

