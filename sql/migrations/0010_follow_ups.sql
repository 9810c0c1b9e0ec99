-- Who waits for whom, as far as the log has been followed: derived from it, so that the submit need not write it.
-- A row lives until its task waits no longer. `look_again_at` is for what the log will not say: that a time has come.
CREATE TABLE ledger.follow_ups (
    parent_id     uuid NOT NULL,
    task_id       uuid NOT NULL,
    look_again_at timestamptz,
    PRIMARY KEY (parent_id, task_id)
);

CREATE INDEX follow_ups_of_task ON ledger.follow_ups (task_id);
CREATE INDEX follow_ups_to_look_at ON ledger.follow_ups (look_again_at) WHERE look_again_at IS NOT NULL;

-- Nobody waited for others before now, so there is nothing to be found in the log so far.
INSERT INTO ledger.checkpoints (name, position) VALUES ('follow_ups', ledger.safe_position());

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ledger_api', 'ledger_worker', 'ledger_relay', 'ledger_scheduler',
                                     'ledger_projector', 'ledger_auditor'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
        EXECUTE format('GRANT SELECT ON ledger.follow_ups TO %I', role_name);
        IF role_name = 'ledger_scheduler' THEN
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ledger.follow_ups TO %I', role_name);
        END IF;
    END LOOP;
END $$;
