-- What is set for the queues, and what the limits have let through. A queue without a row is open and has no limits.
-- Limits by key count a task under its `key`; fairness is between the tenants that the tags name.
CREATE TABLE ledger.queues (
    name                text COLLATE "C" PRIMARY KEY,
    paused_at           timestamptz,
    concurrency_max     integer          CHECK (concurrency_max > 0),
    key_concurrency_max integer          CHECK (key_concurrency_max > 0),
    rate_max            integer          CHECK (rate_max > 0),
    rate_seconds        double precision CHECK (rate_seconds > 0),
    key_rate_max        integer          CHECK (key_rate_max > 0),
    key_rate_seconds    double precision CHECK (key_rate_seconds > 0),
    fair                boolean          NOT NULL DEFAULT false,
    weights             jsonb            NOT NULL DEFAULT '{}',
    virtual_time        double precision NOT NULL DEFAULT 0,
    updated_at          timestamptz      NOT NULL DEFAULT clock_timestamp(),
    CHECK ((rate_max IS NULL) = (rate_seconds IS NULL)),
    CHECK ((key_rate_max IS NULL) = (key_rate_seconds IS NULL))
);

-- Who changed what is set for a queue, when and why.
CREATE TABLE ledger.queue_changes (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue       text        NOT NULL,
    change      text        NOT NULL CHECK (change IN ('paused', 'resumed', 'set', 'reset')),
    settings    jsonb       NOT NULL DEFAULT '{}',
    actor       text        NOT NULL,
    reason      text        NOT NULL DEFAULT '',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX queue_changes_of_queue ON ledger.queue_changes (queue, id);

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.queue_changes
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.queue_changes ENABLE ALWAYS TRIGGER refuse_change;

-- One row a task that a limit let through, made in the transaction of the Released of that version. It counts until
-- the stream ends the attempt, and for a rate as long as its start lies in the window.
CREATE TABLE ledger.permits (
    task_id     uuid             NOT NULL,
    version     integer          NOT NULL,
    queue       text COLLATE "C" NOT NULL,
    key         text COLLATE "C",
    admitted_at timestamptz      NOT NULL DEFAULT clock_timestamp(),
    started_at  timestamptz,
    ended_at    timestamptz,
    PRIMARY KEY (task_id, version)
);

CREATE INDEX permits_of_queue ON ledger.permits (queue);

-- How much of its share a tenant has used, in virtual time (start-time fair queueing).
CREATE TABLE ledger.tenant_shares (
    queue       text COLLATE "C" NOT NULL,
    tenant      text COLLATE "C" NOT NULL,
    finish_time double precision NOT NULL,
    PRIMARY KEY (queue, tenant)
);

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ledger_api', 'ledger_worker', 'ledger_relay', 'ledger_scheduler',
                                     'ledger_projector', 'ledger_auditor'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
        EXECUTE format('GRANT SELECT ON ledger.queues, ledger.queue_changes, ledger.permits, ledger.tenant_shares
            TO %I', role_name);
        IF role_name IN ('ledger_api', 'ledger_scheduler') THEN
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ledger.queues TO %I', role_name);
            EXECUTE format('GRANT INSERT ON ledger.queue_changes TO %I', role_name);
        END IF;
        IF role_name = 'ledger_scheduler' THEN
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ledger.permits, ledger.tenant_shares TO %I', role_name);
        END IF;
    END LOOP;
END $$;
