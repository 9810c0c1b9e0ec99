-- Runs: what somebody asked to be done with a read model. A projector takes the oldest that nobody is at, writes down how
-- far it is, and another takes it up when that one was killed. At most one run of a projection is open.
CREATE TABLE ledger.projection_runs (
    run_id           uuid        PRIMARY KEY,
    projection       text COLLATE "C" NOT NULL,
    act              text        NOT NULL CHECK (act IN ('rebuild', 'verify', 'reset')),
    state            text        NOT NULL DEFAULT 'queued'
                                 CHECK (state IN ('queued', 'running', 'succeeded', 'failed')),
    actor            text        NOT NULL,
    correlation_id   text,
    reason           text        NOT NULL DEFAULT '',
    tries            integer     NOT NULL DEFAULT 0 CHECK (tries >= 0),
    phase            text,
    events_done      bigint      NOT NULL DEFAULT 0,
    events_total     bigint      NOT NULL DEFAULT 0,
    seconds          float8      NOT NULL DEFAULT 0,
    swap_seconds     float8,
    upto_position    bigint,
    differences      jsonb,
    difference_count integer,
    error            text,
    requested_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at       timestamptz,
    updated_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at         timestamptz,
    CHECK ((ended_at IS NOT NULL) = (state IN ('succeeded', 'failed')))
);

CREATE UNIQUE INDEX one_open_run ON ledger.projection_runs (projection) WHERE state IN ('queued', 'running');
CREATE INDEX projection_runs_by_projection ON ledger.projection_runs (projection, run_id);

-- Why a read model does not go on, until it does.
CREATE TABLE ledger.projection_errors (
    projection  text COLLATE "C" PRIMARY KEY,
    position    bigint      NOT NULL,
    error       text        NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ledger_api', 'ledger_worker', 'ledger_relay', 'ledger_scheduler',
                                     'ledger_projector', 'ledger_auditor'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
        EXECUTE format('GRANT SELECT ON ledger.projection_runs, ledger.projection_errors TO %I', role_name);
        IF role_name = 'ledger_api' THEN
            EXECUTE format('GRANT INSERT ON ledger.projection_runs TO %I', role_name);
        END IF;
        IF role_name = 'ledger_projector' THEN
            EXECUTE format('GRANT UPDATE, DELETE ON ledger.projection_runs TO %I', role_name);
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ledger.projection_errors TO %I', role_name);
        END IF;
    END LOOP;
END $$;
