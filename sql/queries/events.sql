-- name: append_events
-- Appends the whole of each stream whose expected version is its head; returns a row for each that went in.
WITH fresh AS (
    SELECT i.*
      FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::integer[], $5::text[], $6::smallint[],
                  $7::text[], $8::text[], $9::jsonb[], $10::timestamptz[], $11::text[], $12::text[],
                  $13::text[], $14::text[])
           AS i (task_id, version, expected_version, size, type, schema_version, kind, queue, data,
                 occurred_at, actor, correlation_id, causation_id, traceparent)
     WHERE i.expected_version = 0
        OR (SELECT true FROM ledger.events AS head
             WHERE head.task_id = i.task_id AND head.version = i.expected_version)
     ORDER BY i.task_id, i.version
), inserted AS (
    INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at,
                               actor, correlation_id, causation_id, traceparent)
    SELECT task_id, version, type, schema_version, kind, queue, data, occurred_at,
           actor, correlation_id, causation_id, traceparent
      FROM fresh
    ON CONFLICT (task_id, version) DO NOTHING
    RETURNING task_id, version, position, recorded_at
)
SELECT inserted.task_id, max(inserted.version) AS version, max(inserted.position) AS position,
       max(inserted.recorded_at) AS recorded_at,
       CASE WHEN count(*) <> max(fresh.size) THEN ledger.refuse_partial_append(inserted.task_id) END AS refused
  FROM inserted
  JOIN fresh ON fresh.task_id = inserted.task_id AND fresh.version = inserted.version
 GROUP BY inserted.task_id;

-- name: append_first_events
-- Appends the first events of new streams, and returns their places in their order; one stream that exists refuses
-- them all.
WITH inserted AS (
    INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at,
                               actor, correlation_id, causation_id, traceparent)
    SELECT task_id, 1, $5, $6, kind, queue, data, $7, $8, coalesce($9, task_id::text), $10, $11
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[]) AS fresh (task_id, kind, queue, data)
    RETURNING position, recorded_at
)
SELECT array_agg(position) AS positions, array_agg(recorded_at) AS times FROM inserted;

-- name: read_stream
-- The events of one task, oldest first, from a version on.
SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
       actor, correlation_id, causation_id, traceparent
  FROM ledger.events
 WHERE task_id = $1 AND version > $2
 ORDER BY version
 LIMIT $3;

-- name: read_streams
-- The events of many tasks, each oldest first.
SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
       actor, correlation_id, causation_id, traceparent
  FROM ledger.events
 WHERE task_id = ANY ($1::uuid[])
 ORDER BY task_id, version;

-- name: stream_heads
-- The version at which each of these streams is; a page of ids goes down the key once an id.
SELECT asked.task_id, head.version
  FROM unnest($1::uuid[]) AS asked (task_id)
 CROSS JOIN LATERAL (
       SELECT version FROM ledger.events WHERE task_id = asked.task_id ORDER BY version DESC LIMIT 1) AS head;

-- name: safe_position
-- The append horizon: ask this in a statement of its own, then read up to the answer.
SELECT ledger.safe_position();

-- name: read_log
-- The log between two positions, in order; the upper one comes from an earlier safe_position().
SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
       actor, correlation_id, causation_id, traceparent
  FROM ledger.events
 WHERE position > $1 AND position <= $2
 ORDER BY position
 LIMIT $3;

-- name: read_log_of_shard
-- The same, as far as it is of the tasks of one shard: number $4 of $5.
SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
       actor, correlation_id, causation_id, traceparent
  FROM ledger.events
 WHERE position > $1 AND position <= $2 AND ledger.shard_of(task_id, $5) = $4
 ORDER BY position
 LIMIT $3;

-- name: notify_append
-- Wakes the readers; sent after commits, never inside an append. Nothing is lost with it, so it waits for no disk.
SELECT set_config('synchronous_commit', 'off', true), pg_notify('ledger_events', '');

-- name: database_time
-- The clock that every deadline is measured by.
SELECT clock_timestamp();

-- name: insert_stale_write
-- Keeps a late write that was refused.
INSERT INTO ledger.stale_writes (task_id, type, attempt, current_attempt, status, worker_id, data, occurred_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: read_stale_writes
-- The refused writes of one task, oldest first.
SELECT id, task_id, type, attempt, current_attempt, status, worker_id, data, occurred_at, recorded_at
  FROM ledger.stale_writes
 WHERE task_id = $1
 ORDER BY id
 LIMIT $2;

-- name: open_savepoint
-- Begins what an append in a caller's transaction can be undone to, however that transaction was begun.
SAVEPOINT ledger_append;

-- name: undo_savepoint
-- Leaves the caller's transaction as it was before the append.
ROLLBACK TO SAVEPOINT ledger_append;

-- name: close_savepoint
-- Makes the append a part of the caller's transaction.
RELEASE SAVEPOINT ledger_append;
