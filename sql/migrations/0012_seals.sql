-- Seals: each covers the events between two positions by the root of their Merkle tree, and the seal before it by its
-- hash. `leaves` holds 40 bytes an event, its position and its leaf: they name the event that differs, and make proofs
-- without reading the range. They are random, so nobody need try to compress them.
CREATE TABLE ledger.seals (
    number         bigint      PRIMARY KEY CHECK (number > 0),
    after_position bigint      NOT NULL UNIQUE CHECK (after_position >= 0),
    upto_position  bigint      NOT NULL UNIQUE,
    events         integer     NOT NULL CHECK (events > 0),
    root           bytea       NOT NULL CHECK (length(root) = 32),
    previous_hash  bytea       NOT NULL UNIQUE CHECK (length(previous_hash) = 32),
    sealed_at      timestamptz NOT NULL,
    hash           bytea       NOT NULL CHECK (length(hash) = 32),
    leaves         bytea       NOT NULL,
    CHECK (upto_position > after_position),
    CHECK (length(leaves) = 40 * events)
);

ALTER TABLE ledger.seals ALTER COLUMN leaves SET STORAGE EXTERNAL;

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.seals
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.seals ENABLE ALWAYS TRIGGER refuse_change;

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ledger_api', 'ledger_worker', 'ledger_relay', 'ledger_scheduler',
                                     'ledger_projector', 'ledger_auditor'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
        EXECUTE format('GRANT SELECT ON ledger.seals TO %I', role_name);
        IF role_name = 'ledger_scheduler' THEN
            EXECUTE format('GRANT INSERT ON ledger.seals TO %I', role_name);
        END IF;
    END LOOP;
END $$;
