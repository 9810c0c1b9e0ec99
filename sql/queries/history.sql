-- name: search_log
-- The events of a stretch of the log that a filter finds, oldest first; the stretch ends at an earlier safe_position().
SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
       actor, correlation_id, causation_id, traceparent
  FROM ledger.events
 WHERE position > $1 AND position <= $2
   AND ($4::text[] IS NULL OR type = ANY ($4))
   AND ($5::text IS NULL OR kind = $5)
   AND ($6::text IS NULL OR queue = $6)
   AND ($7::text IS NULL OR actor = $7)
   AND ($8::text IS NULL OR correlation_id = $8)
   AND ($9::timestamptz IS NULL OR recorded_at >= $9)
   AND ($10::timestamptz IS NULL OR recorded_at < $10)
   AND ($11::text IS NULL OR strpos(lower(coalesce(data ->> 'reason', data ->> 'cause')), lower($11)) > 0)
 ORDER BY position
 LIMIT $3;

-- name: search_log_backwards
-- The same, newest first: a statement of its own, so that the index gives the order.
SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
       actor, correlation_id, causation_id, traceparent
  FROM ledger.events
 WHERE position > $1 AND position <= $2
   AND ($4::text[] IS NULL OR type = ANY ($4))
   AND ($5::text IS NULL OR kind = $5)
   AND ($6::text IS NULL OR queue = $6)
   AND ($7::text IS NULL OR actor = $7)
   AND ($8::text IS NULL OR correlation_id = $8)
   AND ($9::timestamptz IS NULL OR recorded_at >= $9)
   AND ($10::timestamptz IS NULL OR recorded_at < $10)
   AND ($11::text IS NULL OR strpos(lower(coalesce(data ->> 'reason', data ->> 'cause')), lower($11)) > 0)
 ORDER BY position DESC
 LIMIT $3;

-- name: search_stream
-- The same for the task $12 alone, down its key: it has few events, so they are sorted, with $13 = -1 newest first.
SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
       actor, correlation_id, causation_id, traceparent
  FROM ledger.events
 WHERE task_id = $12 AND position > $1 AND position <= $2
   AND ($4::text[] IS NULL OR type = ANY ($4))
   AND ($5::text IS NULL OR kind = $5)
   AND ($6::text IS NULL OR queue = $6)
   AND ($7::text IS NULL OR actor = $7)
   AND ($8::text IS NULL OR correlation_id = $8)
   AND ($9::timestamptz IS NULL OR recorded_at >= $9)
   AND ($10::timestamptz IS NULL OR recorded_at < $10)
   AND ($11::text IS NULL OR strpos(lower(coalesce(data ->> 'reason', data ->> 'cause')), lower($11)) > 0)
 ORDER BY version * $13::integer
 LIMIT $3;

-- name: first_event_of_stretch
-- The first event between two positions, with its time.
SELECT position, recorded_at
  FROM ledger.events
 WHERE position > $1 AND position <= $2
 ORDER BY position
 LIMIT 1;

-- name: last_event_of_stretch
-- The position of the last event between two positions.
SELECT position
  FROM ledger.events
 WHERE position > $1 AND position <= $2
 ORDER BY position DESC
 LIMIT 1;
