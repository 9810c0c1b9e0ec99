-- name: read_feed
-- A stretch of the log as one stream wants it, in order; its end comes from an earlier safe_position().
SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
       actor, correlation_id, causation_id, traceparent
  FROM ledger.events
 WHERE position > $1 AND position <= $2
   AND ($3::text[] IS NULL OR type = ANY ($3))
   AND ($4::text IS NULL OR kind = $4)
   AND ($5::text IS NULL OR queue = $5)
 ORDER BY position
 LIMIT $6;

-- name: read_task_feed
-- The same for one task, down its own stream: within a task, versions are in the order of positions.
SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
       actor, correlation_id, causation_id, traceparent
  FROM ledger.events
 WHERE task_id = $1 AND position > $2 AND position <= $3
 ORDER BY version
 LIMIT $4;
