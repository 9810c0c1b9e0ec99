-- Webhooks: to whom the log is sent, how far each has got it, what was sent, and who changed what.
-- `position` is the checkpoint: everything up to it was received, skipped by somebody, or not wanted. `revision`
-- changes with the endpoint's definition and is never that of an earlier one of its name, so that what was under way
-- to another URL moves no checkpoint.
CREATE TABLE ledger.webhooks (
    name         text COLLATE "C" PRIMARY KEY,
    url          text        NOT NULL,
    filter       jsonb       NOT NULL DEFAULT '{}',
    batch_max    integer     NOT NULL DEFAULT 1 CHECK (batch_max BETWEEN 1 AND 100),
    state        text        NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'failing')),
    state_reason text        NOT NULL DEFAULT '',
    position     bigint      NOT NULL CHECK (position >= 0),
    failures     integer     NOT NULL DEFAULT 0 CHECK (failures >= 0),
    failing_since timestamptz,
    last_error   text        NOT NULL DEFAULT '',
    next_try_at  timestamptz,
    delivered_at timestamptz,
    revision     bigint      NOT NULL DEFAULT extract(epoch FROM clock_timestamp()) * 1000000,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The secrets apart, so that only the role that signs can read them. They have to be used as they are, so they are
-- not hashed; who can read this table can sign.
CREATE TABLE ledger.webhook_secrets (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook    text COLLATE "C" NOT NULL REFERENCES ledger.webhooks ON DELETE CASCADE,
    secret     text        NOT NULL,
    expires_at timestamptz
);

CREATE INDEX webhook_secrets_of_webhook ON ledger.webhook_secrets (webhook, id);

-- One row a try, and one for each that somebody asked for and that is still queued.
CREATE TABLE ledger.webhook_deliveries (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook        text COLLATE "C" NOT NULL,
    kind           text        NOT NULL CHECK (kind IN ('event', 'test', 'redelivery')),
    message_id     text        NOT NULL,
    first_position bigint,
    last_position  bigint,
    events         integer     NOT NULL DEFAULT 0,
    outcome        text        NOT NULL CHECK (outcome IN ('queued', 'delivered', 'failed', 'skipped')),
    attempt        integer     NOT NULL DEFAULT 1,
    status         integer,
    error          text        NOT NULL DEFAULT '',
    response       text        NOT NULL DEFAULT '',
    duration_ms    integer,
    actor          text        NOT NULL DEFAULT 'webhooks',
    reason         text        NOT NULL DEFAULT '',
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX webhook_deliveries_of_webhook ON ledger.webhook_deliveries (webhook, id);
CREATE INDEX webhook_deliveries_queued ON ledger.webhook_deliveries (webhook, id) WHERE outcome = 'queued';
CREATE INDEX webhook_deliveries_oldest ON ledger.webhook_deliveries (recorded_at);

-- Who changed which endpoint, when and why; never a secret.
CREATE TABLE ledger.webhook_changes (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook     text COLLATE "C" NOT NULL,
    change      text        NOT NULL CHECK (change IN ('created', 'changed', 'paused', 'resumed', 'skipped', 'rotated',
                                                       'failing', 'gone', 'removed')),
    definition  jsonb       NOT NULL DEFAULT '{}',
    actor       text        NOT NULL,
    reason      text        NOT NULL DEFAULT '',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX webhook_changes_of_webhook ON ledger.webhook_changes (webhook, id);

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.webhook_changes
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.webhook_changes ENABLE ALWAYS TRIGGER refuse_change;

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ledger_api', 'ledger_scheduler', 'ledger_auditor'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
        EXECUTE format('GRANT SELECT ON ledger.webhooks, ledger.webhook_deliveries, ledger.webhook_changes TO %I',
            role_name);
        EXECUTE format('GRANT SELECT (id, webhook, expires_at) ON ledger.webhook_secrets TO %I', role_name);
        IF role_name = 'ledger_api' THEN
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ledger.webhooks TO %I', role_name);
            EXECUTE format('GRANT INSERT, UPDATE (expires_at), DELETE ON ledger.webhook_secrets TO %I', role_name);
            EXECUTE format('GRANT INSERT ON ledger.webhook_deliveries, ledger.webhook_changes TO %I', role_name);
        END IF;
        IF role_name = 'ledger_scheduler' THEN
            EXECUTE format('GRANT UPDATE ON ledger.webhooks TO %I', role_name);
            EXECUTE format('GRANT SELECT, DELETE ON ledger.webhook_secrets TO %I', role_name);
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ledger.webhook_deliveries TO %I', role_name);
            EXECUTE format('GRANT INSERT ON ledger.webhook_changes TO %I', role_name);
        END IF;
    END LOOP;
END $$;
