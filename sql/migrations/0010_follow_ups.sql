-- Who waits for whom, as the log says it up to the checkpoint `follow_ups`: the submit need not write it. A row lives
-- until the one has completed, or the other waits no longer. It can be lost and made anew from the log.
CREATE TABLE ledger.follow_ups (
    parent_id uuid NOT NULL,
    task_id   uuid NOT NULL,
    PRIMARY KEY (parent_id, task_id)
);

CREATE INDEX follow_ups_of_task ON ledger.follow_ups (task_id);

-- When to look at a task that waits, where no event will say so: its own time has to come as well.
CREATE TABLE ledger.follow_up_times (
    task_id       uuid        PRIMARY KEY,
    look_again_at timestamptz NOT NULL
);

CREATE INDEX follow_up_times_in_order ON ledger.follow_up_times (look_again_at);

-- Nobody waited for others before now, so there is nothing to be found in the log so far.
INSERT INTO ledger.checkpoints (name, position) VALUES ('follow_ups', ledger.safe_position());

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ledger_api', 'ledger_worker', 'ledger_relay', 'ledger_scheduler',
                                     'ledger_projector', 'ledger_auditor'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
        EXECUTE format('GRANT SELECT ON ledger.follow_ups, ledger.follow_up_times TO %I', role_name);
        IF role_name = 'ledger_scheduler' THEN
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ledger.follow_ups, ledger.follow_up_times TO %I',
                role_name);
        END IF;
    END LOOP;
END $$;
