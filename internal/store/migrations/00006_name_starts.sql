-- +goose Up
-- The name of the agent's start that the session was of: another name for the
-- same count tells that the machine was set back in time (fault 32).
ALTER TABLE agent_session ADD COLUMN start TEXT NOT NULL DEFAULT '';
