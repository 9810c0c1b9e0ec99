-- What operators ask of workers, kept with who and why, and bulk acts about tasks.

-- A worker that is asked to drain takes nothing new; `takes` is what it says of itself at its last beat.
ALTER TABLE ledger.workers ADD COLUMN draining_since timestamptz;
ALTER TABLE ledger.workers ADD COLUMN takes boolean NOT NULL DEFAULT true;

CREATE TABLE ledger.worker_changes (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    worker_id   uuid        NOT NULL,
    change      text        NOT NULL CHECK (change IN ('draining', 'resumed')),
    actor       text        NOT NULL,
    reason      text        NOT NULL DEFAULT '',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX worker_changes_of_worker ON ledger.worker_changes (worker_id, id);

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.worker_changes
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.worker_changes ENABLE ALWAYS TRIGGER refuse_change;

ALTER TABLE ledger.bulk_acts ADD COLUMN subject text NOT NULL DEFAULT 'dead_letters';
ALTER TABLE ledger.bulk_acts DROP CONSTRAINT bulk_acts_act_check;
ALTER TABLE ledger.bulk_acts ADD CONSTRAINT bulk_acts_act_check
    CHECK (subject = 'dead_letters' AND act IN ('redriven', 'discarded')
           OR subject = 'tasks' AND act IN ('retried', 'cancelled'));

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ledger_api', 'ledger_worker', 'ledger_relay', 'ledger_scheduler',
                                     'ledger_projector', 'ledger_auditor'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
        EXECUTE format('GRANT SELECT ON ledger.worker_changes TO %I', role_name);
        IF role_name = 'ledger_api' THEN
            EXECUTE format('GRANT UPDATE (draining_since) ON ledger.workers TO %I', role_name);
            EXECUTE format('GRANT INSERT ON ledger.worker_changes TO %I', role_name);
        END IF;
    END LOOP;
END $$;
