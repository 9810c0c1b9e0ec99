-- Archives: a month whose tasks have all finished leaves the log for a file, and for a table of its own until somebody
-- drops that. The record of it says what left: for each seal how many of its events, at which positions, and the root
-- of their leaves. So what is missing in the log is either in a record, or was removed.
CREATE SCHEMA IF NOT EXISTS archive;

-- The months that left the log and are kept: whole partitions move between the two tables, no row does.
CREATE TABLE archive.events (LIKE ledger.events INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (task_id);
ALTER TABLE archive.events ADD PRIMARY KEY (task_id, version);
CREATE INDEX events_position ON archive.events (position);
SELECT ledger.guard_partition('archive.events');

CREATE TABLE ledger.archives (
    id                bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    month             date        NOT NULL CHECK (extract(day FROM month) = 1),
    least_task_id     uuid        NOT NULL,
    beyond_task_id    uuid        NOT NULL CHECK (beyond_task_id > least_task_id),
    events            bigint      NOT NULL CHECK (events > 0),
    tasks             bigint      NOT NULL CHECK (tasks > 0),
    first_position    bigint      NOT NULL,
    last_position     bigint      NOT NULL CHECK (last_position >= first_position),
    first_recorded_at timestamptz NOT NULL,
    last_recorded_at  timestamptz NOT NULL,
    file              text        NOT NULL CHECK (file <> ''),
    file_bytes        bigint      NOT NULL CHECK (file_bytes > 0),
    file_sha256       bytea       NOT NULL CHECK (length(file_sha256) = 32),
    actor             text        NOT NULL,
    archived_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Which of the events of a seal are in the archive: `ranges` has the first and the last position of each run.
CREATE TABLE ledger.archive_shares (
    archive_id bigint   NOT NULL REFERENCES ledger.archives,
    seal       bigint   NOT NULL,
    events     integer  NOT NULL CHECK (events > 0),
    root       bytea    NOT NULL CHECK (length(root) = 32),
    ranges     bigint[] NOT NULL CHECK (cardinality(ranges) > 0 AND cardinality(ranges) % 2 = 0),
    PRIMARY KEY (archive_id, seal)
);

CREATE INDEX archive_shares_of_seal ON ledger.archive_shares (seal);

-- What became of an archive: its table was dropped, or its month is back in the log.
CREATE TABLE ledger.archive_acts (
    archive_id bigint      NOT NULL REFERENCES ledger.archives,
    act        text        NOT NULL CHECK (act IN ('dropped', 'attached')),
    actor      text        NOT NULL,
    acted_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (archive_id, act)
);

-- The months that are not in the log at the moment.
CREATE VIEW ledger.archived_months AS
SELECT archive.id, archive.month, archive.least_task_id, archive.beyond_task_id, archive.events, archive.tasks,
       archive.first_position, archive.last_position, archive.first_recorded_at, archive.last_recorded_at,
       archive.file, archive.file_bytes, archive.file_sha256, archive.actor, archive.archived_at,
       to_regclass('archive.events_' || to_char(archive.month, 'YYYY_MM')) IS NULL AS is_dropped
  FROM ledger.archives AS archive
 WHERE NOT EXISTS (SELECT FROM ledger.archive_acts AS act WHERE act.archive_id = archive.id AND act.act = 'attached');

DO $$
DECLARE
    guarded regclass;
BEGIN
    FOREACH guarded IN ARRAY ARRAY['ledger.archives', 'ledger.archive_shares', 'ledger.archive_acts']::regclass[] LOOP
        EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON %s
            FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()', guarded);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER refuse_change', guarded);
    END LOOP;
END $$;

-- The task ids of an archived month fall into the default partition: a stream that began there would be half of one,
-- and would keep the month from coming back.
CREATE FUNCTION ledger.refuse_archived() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    archived text;
BEGIN
    SELECT to_char(month, 'YYYY-MM') INTO archived
      FROM ledger.archived_months
     WHERE NEW.task_id >= least_task_id AND NEW.task_id < beyond_task_id;
    IF FOUND THEN
        RAISE EXCEPTION 'task % is of %, which is archived', NEW.task_id, archived USING ERRCODE = 'LG003';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER refuse_archived BEFORE INSERT ON ledger.events_default
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_archived();
ALTER TABLE ledger.events_default ENABLE ALWAYS TRIGGER refuse_archived;

CREATE FUNCTION ledger.table_of_month(month date) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT 'events_' || to_char(month, 'YYYY_MM')
$$;

-- Says of a month's table what its partition's bounds say: whoever attaches it then need not read it under a lock.
CREATE FUNCTION ledger.bound_month(schema_name text, month date, least_id uuid, beyond_id uuid) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    name text := ledger.table_of_month(month);
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint
                    WHERE conrelid = format('%I.%I', schema_name, name)::regclass AND conname = 'of_month') THEN
        EXECUTE format('ALTER TABLE %I.%I ADD CONSTRAINT of_month CHECK (task_id >= %L AND task_id < %L) NOT VALID',
            schema_name, name, least_id, beyond_id);
    END IF;
END $$;

-- A statement of its own: the lock that it needs stops nobody who writes.
CREATE FUNCTION ledger.check_bound_of_month(schema_name text, month date) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I.%I VALIDATE CONSTRAINT of_month', schema_name, ledger.table_of_month(month));
END $$;

-- Waits until no vacuum works on what a move locks; meanwhile nobody who reads or writes waits.
CREATE FUNCTION ledger.hold_month(schema_name text, month date) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    EXECUTE format('LOCK TABLE %I.%I IN SHARE UPDATE EXCLUSIVE MODE', schema_name, ledger.table_of_month(month));
    LOCK TABLE ledger.events_default IN SHARE UPDATE EXCLUSIVE MODE;
END $$;

-- Moves a month's table between the log and what is kept beside it.
CREATE FUNCTION ledger.move_month(month date, source text, target text, least_id uuid, beyond_id uuid) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    name text := ledger.table_of_month(month);
BEGIN
    EXECUTE format('ALTER TABLE %I.events DETACH PARTITION %I.%I', source, source, name);
    EXECUTE format('ALTER TABLE %I.%I SET SCHEMA %I', source, name, target);
    EXECUTE format('ALTER TABLE %I.events ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)',
        target, target, name, least_id, beyond_id);
END $$;

-- Makes the table that the file of a month is read into; it is nobody's partition yet.
CREATE FUNCTION ledger.make_month(month date) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    name text := ledger.table_of_month(month);
BEGIN
    EXECUTE format('CREATE TABLE archive.%I (LIKE ledger.events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
END $$;

-- Gives that table what every partition has, and takes it among the months that are kept.
CREATE FUNCTION ledger.finish_month(month date, least_id uuid, beyond_id uuid) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    name text := ledger.table_of_month(month);
BEGIN
    EXECUTE format('ALTER TABLE archive.%I ADD PRIMARY KEY (task_id, version)', name);
    EXECUTE format('CREATE INDEX ON archive.%I (position)', name);
    PERFORM ledger.guard_partition(format('archive.%I', name)::regclass);
    PERFORM ledger.bound_month('archive', month, least_id, beyond_id);
    PERFORM ledger.check_bound_of_month('archive', month);
    EXECUTE format('ALTER TABLE archive.events ATTACH PARTITION archive.%I FOR VALUES FROM (%L) TO (%L)',
        name, least_id, beyond_id);
END $$;

CREATE FUNCTION ledger.drop_month(month date) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    EXECUTE format('DROP TABLE archive.%I', ledger.table_of_month(month));
END $$;

DO $$
DECLARE
    role_name text;
    owners    regprocedure;
BEGIN
    FOREACH owners IN ARRAY ARRAY['ledger.bound_month(text, date, uuid, uuid)', 'ledger.make_month(date)',
                                  'ledger.check_bound_of_month(text, date)', 'ledger.drop_month(date)',
                                  'ledger.move_month(date, text, text, uuid, uuid)',
                                  'ledger.hold_month(text, date)', 'ledger.finish_month(date, uuid, uuid)']::regprocedure[] LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', owners);
    END LOOP;
    FOREACH role_name IN ARRAY ARRAY['ledger_api', 'ledger_worker', 'ledger_relay', 'ledger_scheduler',
                                     'ledger_projector', 'ledger_auditor'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
        EXECUTE format('GRANT USAGE ON SCHEMA archive TO %I', role_name);
        EXECUTE format('GRANT SELECT ON archive.events, ledger.archives, ledger.archive_shares, ledger.archive_acts,
            ledger.archived_months TO %I', role_name);
    END LOOP;
END $$;
