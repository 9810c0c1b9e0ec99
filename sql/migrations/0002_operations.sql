-- What the processes keep beside the ledger; all of it can be lost and made anew, except the refused writes.

-- How far each reader of the log has come.
CREATE TABLE ledger.checkpoints (
    name       text        PRIMARY KEY,
    position   bigint      NOT NULL CHECK (position >= 0),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row a worker process, by the uuid of its incarnation.
CREATE TABLE ledger.workers (
    worker_id  uuid        PRIMARY KEY,
    session_key integer    NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE,
    name       text        NOT NULL,
    queues     text[]      NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    beat_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    running    integer     NOT NULL DEFAULT 0,
    stopped_at timestamptz
);

-- Late writes of attempts that no longer owned their task: refused, and kept as evidence.
CREATE TABLE ledger.stale_writes (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id         uuid        NOT NULL,
    type            text        NOT NULL,
    attempt         integer     NOT NULL,
    current_attempt integer     NOT NULL,
    status          text        NOT NULL,
    worker_id       text        NOT NULL,
    data            jsonb       NOT NULL,
    occurred_at     timestamptz NOT NULL,
    recorded_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX stale_writes_task ON ledger.stale_writes (task_id);

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.stale_writes
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.stale_writes ENABLE ALWAYS TRIGGER refuse_change;

-- Read models live apart: they are disposable, and their owner may make and drop them.
CREATE SCHEMA IF NOT EXISTS projections;
