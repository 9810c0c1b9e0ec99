-- API keys: whoever presents one may do what its scopes say. Only SHA-256 digests are kept: the keys are 256 random bits,
-- so there is nothing to guess. A key that is rotated has its old digest beside the new one for a while.
CREATE TABLE ledger.api_keys (
    name            text COLLATE "C" PRIMARY KEY,
    digest          bytea       NOT NULL UNIQUE CHECK (length(digest) = 32),
    previous_digest bytea       UNIQUE CHECK (length(previous_digest) = 32),
    previous_until  timestamptz,
    scopes          text[]      NOT NULL CHECK (scopes <@ '{read,submit,operate,admin}' AND scopes <> '{}'),
    rate_max        integer     CHECK (rate_max > 0),
    expires_at      timestamptz,
    revoked_at      timestamptz,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_used_at    timestamptz,
    CHECK ((previous_digest IS NULL) = (previous_until IS NULL))
);

-- Who made, rotated or revoked which key, when and why.
CREATE TABLE ledger.api_key_changes (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text COLLATE "C" NOT NULL,
    change      text        NOT NULL CHECK (change IN ('created', 'rotated', 'revoked')),
    scopes      text[]      NOT NULL,
    actor       text        NOT NULL,
    reason      text        NOT NULL DEFAULT '',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.api_key_changes
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.api_key_changes ENABLE ALWAYS TRIGGER refuse_change;

-- Sessions of the dashboard: each stands for the key that it was opened with, and ends with it.
CREATE TABLE ledger.sessions (
    digest     bytea       PRIMARY KEY CHECK (length(digest) = 32),
    key_name   text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);

CREATE INDEX sessions_by_expiry ON ledger.sessions (expires_at);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ledger_api') THEN
        GRANT SELECT, UPDATE (last_used_at) ON ledger.api_keys TO ledger_api;
        GRANT SELECT, INSERT, DELETE ON ledger.sessions TO ledger_api;
        GRANT SELECT ON ledger.api_key_changes TO ledger_api;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ledger_auditor') THEN
        GRANT SELECT (name, previous_until, scopes, rate_max, expires_at, revoked_at, created_at, last_used_at)
            ON ledger.api_keys TO ledger_auditor;
        GRANT SELECT ON ledger.api_key_changes TO ledger_auditor;
    END IF;
END $$;
