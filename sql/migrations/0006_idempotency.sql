-- Which request a client's idempotency key stands for, and the event that it led to; written in that event's own
-- transaction. `scope` says whose key it is; '' is everybody's.
CREATE TABLE ledger.idempotency_keys (
    scope      text        NOT NULL,
    key        text        NOT NULL,
    digest     bytea       NOT NULL,
    task_id    uuid        NOT NULL,
    version    integer     NOT NULL CHECK (version > 0),
    existing   boolean     NOT NULL,
    kept_since timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (scope, key)
);

CREATE INDEX idempotency_keys_kept_since ON ledger.idempotency_keys (kept_since);

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ledger_api', 'ledger_worker', 'ledger_scheduler', 'ledger_auditor'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
        EXECUTE format('GRANT SELECT ON ledger.idempotency_keys TO %I', role_name);
        IF role_name <> 'ledger_auditor' THEN
            EXECUTE format('GRANT INSERT, UPDATE ON ledger.idempotency_keys TO %I', role_name);
        END IF;
        IF role_name = 'ledger_scheduler' THEN
            EXECUTE format('GRANT DELETE ON ledger.idempotency_keys TO %I', role_name);
        END IF;
    END LOOP;
END $$;
