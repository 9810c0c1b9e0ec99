-- Recurring tasks: what is scheduled, what was fired, and who changed what.
-- A schedule that will not fire again, or is paused, has no next fire time.
CREATE TABLE ledger.schedules (
    name         text COLLATE "C" PRIMARY KEY,
    cron         text        NOT NULL,
    time_zone    text        NOT NULL,
    task         jsonb       NOT NULL,
    backfill     text        NOT NULL CHECK (backfill IN ('none', 'latest', 'all')),
    overlap      text        NOT NULL CHECK (overlap IN ('allow', 'skip')),
    starts_at    timestamptz,
    ends_at      timestamptz,
    paused       boolean     NOT NULL DEFAULT false,
    next_fire_at timestamptz,
    last_fire_at timestamptz,
    last_task_id uuid,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (NOT (paused AND next_fire_at IS NOT NULL))
);

CREATE INDEX schedules_due ON ledger.schedules (next_fire_at, name) WHERE next_fire_at IS NOT NULL;

-- One row a fire time, made in the transaction of its task's Submitted: the primary key is what makes it one task.
-- They outlive their schedule, so that one of the same name cannot fire a time again. A fire that was skipped,
-- because the task before it was unfinished, has no task.
CREATE TABLE ledger.schedule_fires (
    schedule    text COLLATE "C" NOT NULL,
    fire_at     timestamptz NOT NULL,
    task_id     uuid,
    outcome     text        NOT NULL CHECK (outcome IN ('fired', 'fired_by_hand', 'skipped')),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (schedule, fire_at),
    CHECK ((outcome = 'skipped') = (task_id IS NULL))
);

-- Who changed which schedule, when and why, with all of it as it was from then on.
CREATE TABLE ledger.schedule_changes (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schedule    text COLLATE "C" NOT NULL,
    change      text        NOT NULL
                CHECK (change IN ('created', 'changed', 'paused', 'resumed', 'fired', 'removed')),
    definition  jsonb       NOT NULL,
    actor       text        NOT NULL,
    reason      text        NOT NULL DEFAULT '',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX schedule_changes_of_schedule ON ledger.schedule_changes (schedule, id);

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.schedule_changes
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.schedule_changes ENABLE ALWAYS TRIGGER refuse_change;

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ledger_api', 'ledger_worker', 'ledger_relay', 'ledger_scheduler',
                                     'ledger_projector', 'ledger_auditor'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
        EXECUTE format('GRANT SELECT ON ledger.schedules, ledger.schedule_fires, ledger.schedule_changes TO %I',
            role_name);
        IF role_name = 'ledger_api' THEN
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ledger.schedules TO %I', role_name);
            EXECUTE format('GRANT INSERT ON ledger.schedule_fires, ledger.schedule_changes TO %I', role_name);
        END IF;
        IF role_name = 'ledger_scheduler' THEN
            EXECUTE format('GRANT UPDATE ON ledger.schedules TO %I', role_name);
            EXECUTE format('GRANT INSERT ON ledger.schedule_fires TO %I', role_name);
        END IF;
    END LOOP;
END $$;
