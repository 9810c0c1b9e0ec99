-- name: make_migrations_table
-- The record of what was applied, made before the first migration.
CREATE SCHEMA IF NOT EXISTS ledger;
CREATE TABLE IF NOT EXISTS ledger.schema_migrations (
    number     integer     PRIMARY KEY,
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- name: migrations_table_exists
-- A dry run makes nothing, so it looks first.
SELECT to_regclass('ledger.schema_migrations') IS NOT NULL;

-- name: applied_migrations
-- What was applied, in order.
SELECT number, name, sha256 FROM ledger.schema_migrations ORDER BY number;

-- name: record_migration
-- In the transaction of the migration itself.
INSERT INTO ledger.schema_migrations (number, name, sha256) VALUES ($1, $2, $3);

-- name: lock_migrations
-- One migrator at a time; the lock goes with the session.
SELECT pg_advisory_lock(19530);

-- name: prepare_partitions
-- Makes the partitions of this month and the months ahead; returns how many were missing.
SELECT ledger.prepare_partitions($1);
