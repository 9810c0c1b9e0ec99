-- The ledger: one append-only table of events, partitioned by month through the time in the task id.
CREATE SCHEMA IF NOT EXISTS ledger;

-- Positions give the log its order. CACHE 1 is load-bearing: the append horizon reads last_value.
CREATE SEQUENCE ledger.position_seq AS bigint CACHE 1;

CREATE TABLE ledger.events (
    position       bigint      NOT NULL DEFAULT nextval('ledger.position_seq'),
    task_id        uuid        NOT NULL,
    version        integer     NOT NULL CHECK (version > 0),
    type           text        NOT NULL,
    schema_version smallint    NOT NULL CHECK (schema_version > 0),
    kind           text        NOT NULL,
    queue          text        NOT NULL,
    data           jsonb       NOT NULL,
    occurred_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor          text        NOT NULL,
    correlation_id text        NOT NULL,
    causation_id   text,
    traceparent    text,
    PRIMARY KEY (task_id, version)
) PARTITION BY RANGE (task_id);

ALTER SEQUENCE ledger.position_seq OWNED BY ledger.events.position;

CREATE INDEX events_position ON ledger.events (position);

-- Append-only: nothing is ever updated, deleted or truncated.
CREATE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: % on %.% is refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'LG002';
END $$;

-- The append horizon. The first append of a transaction takes a shared advisory lock that encodes the last
-- position drawn before it. Nobody takes it exclusively, so writers never wait for each other.
CREATE FUNCTION ledger.mark_append() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    mark bigint;
BEGIN
    IF coalesce(current_setting('ledger.append_mark', true), '') = '' THEN
        SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO mark FROM ledger.position_seq;
        PERFORM pg_advisory_xact_lock_shared((19527::bigint << 48) | mark);
        PERFORM set_config('ledger.append_mark', mark::text, true);
    END IF;
    RETURN NULL;
END $$;

-- The last position that no open transaction can still slip under. A reader asks this in one statement and
-- reads up to the answer in the next, both under READ COMMITTED; one statement for both would skip events.
CREATE FUNCTION ledger.safe_position() RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    drawn bigint;
    mark  bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'ledger.safe_position() needs READ COMMITTED, not %',
            current_setting('transaction_isolation');
    END IF;
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END INTO drawn FROM ledger.position_seq;
    SELECT min(((classid::bigint & 65535) << 32) | objid::bigint) INTO mark
      FROM pg_locks
     WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >> 16 = 19527
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
    RETURN least(drawn, coalesce(mark, drawn));
END $$;

-- A stream's batch is appended whole or not at all.
CREATE FUNCTION ledger.refuse_partial_append(task uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'part of the append to task % conflicts', task USING ERRCODE = 'LG001';
END $$;

-- The least UUIDv7 of a moment: a month's partition reaches from one of these to the next.
CREATE FUNCTION ledger.least_task_id(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- Statements aimed at a partition bypass the parent's statement triggers, so each partition has its own.
CREATE FUNCTION ledger.guard_partition(partition regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER mark_append BEFORE INSERT ON %s
        FOR EACH STATEMENT EXECUTE FUNCTION ledger.mark_append()', partition);
    EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON %s
        FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change()', partition);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER mark_append', partition);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER refuse_change', partition);
END $$;

SELECT ledger.guard_partition('ledger.events');

-- Task ids that are no UUIDv7 of a prepared month land here.
CREATE TABLE ledger.events_default PARTITION OF ledger.events DEFAULT;
SELECT ledger.guard_partition('ledger.events_default');

-- The scheduler may call it without owning the table; roles.sql says who may.
CREATE FUNCTION ledger.prepare_partitions(months_ahead integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    first_month timestamptz := date_trunc('month', now(), 'UTC');
    starts_at   timestamptz;
    partition   text;
    least       uuid;
    beyond      uuid;
    made        integer := 0;
BEGIN
    IF months_ahead NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'months_ahead must be between 0 and 24, got %', months_ahead;
    END IF;
    PERFORM pg_advisory_xact_lock(19528);
    FOR ahead IN 0..months_ahead LOOP
        starts_at := (first_month AT TIME ZONE 'UTC' + make_interval(months => ahead)) AT TIME ZONE 'UTC';
        partition := format('events_%s', to_char(starts_at AT TIME ZONE 'UTC', 'YYYY_MM'));
        CONTINUE WHEN to_regclass('ledger.' || partition) IS NOT NULL;
        least := ledger.least_task_id(starts_at);
        beyond := ledger.least_task_id((starts_at AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
        -- A month that was prepared too late has events in the default partition, and there it stays: events do not
        -- move. Postgres would refuse its partition, and with it those of the months after it.
        CONTINUE WHEN EXISTS (SELECT FROM ledger.events_default WHERE task_id >= least AND task_id < beyond);
        EXECUTE format('CREATE TABLE ledger.%I PARTITION OF ledger.events FOR VALUES FROM (%L) TO (%L)',
            partition, least, beyond);
        PERFORM ledger.guard_partition(format('ledger.%I', partition)::regclass);
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;

REVOKE ALL ON FUNCTION ledger.prepare_partitions(integer) FROM PUBLIC;

SELECT ledger.prepare_partitions(3);
