-- Messages that nobody could take, and what people did about dead letters. Failed tasks are dead letters as well; they
-- stand in the read model, and what is done about them stands in their streams.

-- Messages out of the broker's dead-letter queues, each with what it came with. What is ours has its task.
CREATE TABLE ledger.dead_letters (
    letter_id    uuid             PRIMARY KEY,
    queue        text COLLATE "C" NOT NULL,
    message_id   text             NOT NULL,
    body         bytea            NOT NULL,
    body_bytes   bigint           NOT NULL CHECK (body_bytes >= 0),
    body_sha256  bytea            NOT NULL,
    headers      jsonb            NOT NULL,
    properties   jsonb            NOT NULL,
    reason       text             NOT NULL,
    cause        text             NOT NULL,
    task_id      uuid,
    task_version integer,
    task_kind    text COLLATE "C",
    collected_at timestamptz      NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX dead_letters_newest ON ledger.dead_letters (collected_at, letter_id);
CREATE INDEX dead_letters_of_task ON ledger.dead_letters (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX dead_letters_same ON ledger.dead_letters (body_sha256, message_id);

-- What was done about a message, once for all: a message that dies again is another letter.
CREATE TABLE ledger.dead_letter_acts (
    letter_id  uuid        PRIMARY KEY REFERENCES ledger.dead_letters,
    act        text        NOT NULL CHECK (act IN ('redriven', 'discarded')),
    actor      text        NOT NULL,
    reason     text        NOT NULL,
    bulk_id    uuid,
    acted_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.dead_letters
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.dead_letters ENABLE ALWAYS TRIGGER refuse_change;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.dead_letter_acts
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.dead_letter_acts ENABLE ALWAYS TRIGGER refuse_change;

-- BulkActs of many: what was asked for, and how far the scheduler has come. `under_way` is written before these letters
-- are acted upon, so that a scheduler that follows a killed one knows which may be done already.
CREATE TABLE ledger.bulk_acts (
    bulk_id        uuid        PRIMARY KEY,
    act            text        NOT NULL CHECK (act IN ('redriven', 'discarded')),
    filter         jsonb       NOT NULL,
    actor          text        NOT NULL,
    correlation_id text,
    traceparent    text,
    reason         text        NOT NULL,
    rate_per_s     integer     NOT NULL CHECK (rate_per_s BETWEEN 1 AND 1000),
    letters_max    bigint      CHECK (letters_max > 0),
    found          bigint      NOT NULL,
    upto           timestamptz NOT NULL DEFAULT statement_timestamp(),
    state          text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'cancelled')),
    acted          bigint      NOT NULL DEFAULT 0,
    skipped        bigint      NOT NULL DEFAULT 0,
    under_way      uuid[]      NOT NULL DEFAULT '{}',
    below_at       timestamptz,
    below_id       uuid,
    paid_until     timestamptz NOT NULL DEFAULT statement_timestamp(),
    ended_at       timestamptz,
    cancelled_by   text
);

CREATE INDEX bulk_acts_unfinished ON ledger.bulk_acts (bulk_id) WHERE state = 'running' OR under_way <> '{}';

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ledger_api', 'ledger_worker', 'ledger_relay', 'ledger_scheduler',
                                     'ledger_projector', 'ledger_auditor'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
        EXECUTE format('GRANT SELECT ON ledger.dead_letters, ledger.dead_letter_acts, ledger.bulk_acts TO %I', role_name);
        IF role_name = 'ledger_relay' THEN
            EXECUTE format('GRANT INSERT ON ledger.dead_letters TO %I', role_name);
        END IF;
        IF role_name IN ('ledger_api', 'ledger_scheduler') THEN
            EXECUTE format('GRANT INSERT ON ledger.dead_letter_acts TO %I', role_name);
            EXECUTE format('GRANT INSERT, UPDATE ON ledger.bulk_acts TO %I', role_name);
        END IF;
    END LOOP;
END $$;
