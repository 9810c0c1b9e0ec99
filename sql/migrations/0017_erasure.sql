-- The keys of erasable tasks. What their events hold of a user's is encrypted from the beginning; to erase is to destroy
-- the key. Each is wrapped under a secret that is not in the database.
CREATE TABLE ledger.payload_keys (
    task_id     uuid        PRIMARY KEY,
    wrapped_key bytea       NOT NULL CHECK (length(wrapped_key) = 60),
    secret_id   text        NOT NULL,
    tags        text[]      NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT statement_timestamp()
);

-- A destroyed key stays in its page until a vacuum: it comes within a minute or so, for any one of them. Only the owner
-- may vacuum a table before Postgres 17, so no process of ours could.
ALTER TABLE ledger.payload_keys SET (
    autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX payload_keys_by_tags ON ledger.payload_keys USING gin (tags);
CREATE INDEX payload_keys_by_secret ON ledger.payload_keys (secret_id, task_id);

-- What somebody asked to be erased by a tag, and how far the scheduler has come.
CREATE TABLE ledger.erasure_orders (
    order_id       uuid        PRIMARY KEY,
    tag            text        NOT NULL,
    actor          text        NOT NULL,
    correlation_id text,
    traceparent    text,
    reason         text        NOT NULL,
    found          bigint      NOT NULL,
    state          text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done')),
    after_task     uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    unfinished     bigint      NOT NULL DEFAULT 0,
    ordered_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at       timestamptz
);

CREATE INDEX erasure_orders_running ON ledger.erasure_orders (order_id) WHERE state = 'running';

-- The tombstones: whose key was destroyed, when, by whom and why.
CREATE TABLE ledger.erasures (
    task_id   uuid        PRIMARY KEY,
    actor     text        NOT NULL,
    reason    text        NOT NULL,
    order_id  uuid        REFERENCES ledger.erasure_orders,
    erased_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX erasures_by_order ON ledger.erasures (order_id) WHERE order_id IS NOT NULL;

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.erasures
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.erasures ENABLE ALWAYS TRIGGER refuse_change;

-- No key goes without a tombstone, and none comes after one.
CREATE FUNCTION ledger.guard_payload_keys() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF NOT EXISTS (SELECT FROM ledger.erasures WHERE task_id = OLD.task_id) THEN
            RAISE EXCEPTION 'the key of task % is destroyed by an erasure only', OLD.task_id
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF NEW.task_id <> OLD.task_id THEN
        RAISE EXCEPTION 'the key of task % is no other task''s', OLD.task_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER guard_payload_keys BEFORE UPDATE OR DELETE ON ledger.payload_keys
    FOR EACH ROW EXECUTE FUNCTION ledger.guard_payload_keys();
ALTER TABLE ledger.payload_keys ENABLE ALWAYS TRIGGER guard_payload_keys;
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON ledger.payload_keys
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.payload_keys ENABLE ALWAYS TRIGGER refuse_truncate;

-- Everybody may see that there is a key, to count and to examine; only who reads or runs payloads may have it.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ledger_api', 'ledger_worker', 'ledger_relay', 'ledger_scheduler',
                                     'ledger_projector', 'ledger_auditor'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
        EXECUTE format('GRANT SELECT (task_id, secret_id, tags, created_at) ON ledger.payload_keys TO %I', role_name);
        EXECUTE format('GRANT SELECT ON ledger.erasures, ledger.erasure_orders TO %I', role_name);
        IF role_name IN ('ledger_api', 'ledger_worker', 'ledger_scheduler') THEN
            EXECUTE format('GRANT SELECT, INSERT ON ledger.payload_keys TO %I', role_name);
        END IF;
        IF role_name IN ('ledger_api', 'ledger_scheduler') THEN
            EXECUTE format('GRANT DELETE ON ledger.payload_keys TO %I', role_name);
            EXECUTE format('GRANT INSERT ON ledger.erasures, ledger.erasure_orders TO %I', role_name);
        END IF;
        IF role_name = 'ledger_scheduler' THEN
            EXECUTE format('GRANT UPDATE ON ledger.erasure_orders TO %I', role_name);
        END IF;
    END LOOP;
END $$;
