-- +goose Up
-- Machines that come while a step is open wait for its first batch, and then
-- come before the others.
ALTER TABLE step_state ADD COLUMN opened_ord BIGINT NOT NULL DEFAULT 0;
ALTER TABLE step_state ADD COLUMN late_ord BIGINT NOT NULL DEFAULT 0;
