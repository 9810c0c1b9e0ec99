-- name: search_log
-- The events of a stretch of the log that a filter finds, oldest first: $3 of them, or as many as have $4 bytes of data
-- and one or two more. The stretch ends at an earlier safe_position().
SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
       actor, correlation_id, causation_id, traceparent
  FROM (SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
               actor, correlation_id, causation_id, traceparent,
               sum(octet_length(data::text))
                   OVER (ORDER BY position ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS bytes_before
          FROM (SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
                       actor, correlation_id, causation_id, traceparent
                  FROM ledger.events
                 WHERE position > $1 AND position <= $2
                   AND ($5::text[] IS NULL OR type = ANY ($5))
                   AND ($6::text IS NULL OR kind = $6)
                   AND ($7::text IS NULL OR queue = $7)
                   AND ($8::text IS NULL OR actor = $8)
                   AND ($9::text IS NULL OR correlation_id = $9)
                   AND ($10::timestamptz IS NULL OR recorded_at >= $10)
                   AND ($11::timestamptz IS NULL OR recorded_at < $11)
                   AND ($12::text IS NULL
                        OR strpos(lower(coalesce(data ->> 'reason', data ->> 'cause')), lower($12)) > 0)
                 ORDER BY position
                 LIMIT $3) AS found) AS measured
 WHERE coalesce(bytes_before, 0) < $4
 ORDER BY position;

-- name: search_log_backwards
-- The same, newest first: a statement of its own, so that the index gives the order.
SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
       actor, correlation_id, causation_id, traceparent
  FROM (SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
               actor, correlation_id, causation_id, traceparent,
               sum(octet_length(data::text))
                   OVER (ORDER BY position DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS bytes_before
          FROM (SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
                       actor, correlation_id, causation_id, traceparent
                  FROM ledger.events
                 WHERE position > $1 AND position <= $2
                   AND ($5::text[] IS NULL OR type = ANY ($5))
                   AND ($6::text IS NULL OR kind = $6)
                   AND ($7::text IS NULL OR queue = $7)
                   AND ($8::text IS NULL OR actor = $8)
                   AND ($9::text IS NULL OR correlation_id = $9)
                   AND ($10::timestamptz IS NULL OR recorded_at >= $10)
                   AND ($11::timestamptz IS NULL OR recorded_at < $11)
                   AND ($12::text IS NULL
                        OR strpos(lower(coalesce(data ->> 'reason', data ->> 'cause')), lower($12)) > 0)
                 ORDER BY position DESC
                 LIMIT $3) AS found) AS measured
 WHERE coalesce(bytes_before, 0) < $4
 ORDER BY position DESC;

-- name: read_history
-- The events of the task $1 after the version $2, oldest first, bounded as the log is: $3 of them, or $4 bytes of data.
SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
       actor, correlation_id, causation_id, traceparent
  FROM (SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
               actor, correlation_id, causation_id, traceparent,
               sum(octet_length(data::text))
                   OVER (ORDER BY version ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS bytes_before
          FROM (SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
                       actor, correlation_id, causation_id, traceparent
                  FROM ledger.events
                 WHERE task_id = $1 AND version > $2
                 ORDER BY version
                 LIMIT $3) AS found) AS measured
 WHERE coalesce(bytes_before, 0) < $4
 ORDER BY version;

-- name: search_stream
-- The same for the task $13 alone, down its key: it has few events, so they are sorted, with $14 = -1 newest first.
SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
       actor, correlation_id, causation_id, traceparent
  FROM (SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
               actor, correlation_id, causation_id, traceparent,
               sum(octet_length(data::text))
                   OVER (ORDER BY version * $14::integer ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS bytes_before
          FROM (SELECT position, task_id, version, type, schema_version, kind, queue, data, occurred_at, recorded_at,
                       actor, correlation_id, causation_id, traceparent
                  FROM ledger.events
                 WHERE task_id = $13 AND position > $1 AND position <= $2
                   AND ($5::text[] IS NULL OR type = ANY ($5))
                   AND ($6::text IS NULL OR kind = $6)
                   AND ($7::text IS NULL OR queue = $7)
                   AND ($8::text IS NULL OR actor = $8)
                   AND ($9::text IS NULL OR correlation_id = $9)
                   AND ($10::timestamptz IS NULL OR recorded_at >= $10)
                   AND ($11::timestamptz IS NULL OR recorded_at < $11)
                   AND ($12::text IS NULL
                        OR strpos(lower(coalesce(data ->> 'reason', data ->> 'cause')), lower($12)) > 0)
                 ORDER BY version * $14::integer
                 LIMIT $3) AS found) AS measured
 WHERE coalesce(bytes_before, 0) < $4
 ORDER BY version * $14::integer;

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

-- name: search_changes
-- A page of what one of the other sources $1 keeps of who changed what and why, after the place ($9, $10), with $11
-- newest first. These tables hold what people do, so they are small: each is read whole.
SELECT id, place_id, act, subject, kind, queue, task_id, data, actor, reason, recorded_at
  FROM (SELECT 'queue_changes' AS source, id::text AS id, lpad(to_hex(id), 32, '0')::uuid AS place_id,
               change AS act, queue AS subject, NULL::text AS kind, queue, NULL::uuid AS task_id,
               settings AS data, actor, reason, recorded_at
          FROM ledger.queue_changes
        UNION ALL
        SELECT 'schedule_changes', id::text, lpad(to_hex(id), 32, '0')::uuid, change, schedule,
               definition -> 'task' ->> 'kind', definition -> 'task' ->> 'queue', NULL,
               definition, actor, reason, recorded_at
          FROM ledger.schedule_changes
        UNION ALL
        SELECT 'dead_letter_acts', act.letter_id::text, act.letter_id, act.act, act.letter_id::text,
               letter.task_kind, letter.queue, letter.task_id,
               jsonb_build_object('message_id', letter.message_id, 'bulk_id', act.bulk_id),
               act.actor, act.reason, act.acted_at
          FROM ledger.dead_letter_acts AS act
          JOIN ledger.dead_letters AS letter ON letter.letter_id = act.letter_id
        UNION ALL
        SELECT 'webhook_changes', id::text, lpad(to_hex(id), 32, '0')::uuid, change, webhook, NULL, NULL, NULL,
               definition, actor, reason, recorded_at
          FROM ledger.webhook_changes
        UNION ALL
        SELECT 'worker_changes', id::text, lpad(to_hex(id), 32, '0')::uuid, change, worker_id::text, NULL, NULL, NULL,
               '{}'::jsonb, actor, reason, recorded_at
          FROM ledger.worker_changes
        UNION ALL
        SELECT 'key_changes', id::text, lpad(to_hex(id), 32, '0')::uuid, change, name, NULL, NULL, NULL,
               jsonb_build_object('scopes', scopes), actor, reason, recorded_at
          FROM ledger.api_key_changes
        UNION ALL
        SELECT 'projection_runs', run_id::text, run_id, act, projection, NULL, NULL, NULL,
               jsonb_build_object('state', state), actor, reason, requested_at
          FROM ledger.projection_runs
        UNION ALL
        SELECT 'erasure_orders', order_id::text, order_id, 'ordered', tag, NULL, NULL, NULL,
               jsonb_build_object('found', found, 'state', state), actor, reason, ordered_at
          FROM ledger.erasure_orders
        UNION ALL
        SELECT 'archive_acts', id::text, lpad(to_hex(id), 32, '0')::uuid, 'archived', to_char(month, 'YYYY-MM'), NULL,
               NULL, NULL, jsonb_build_object('file', file), actor, '', archived_at
          FROM ledger.archives
        UNION ALL
        SELECT 'archive_acts', act.archive_id::text, lpad(to_hex(act.archive_id), 32, '0')::uuid, act.act,
               to_char(archive.month, 'YYYY-MM'), NULL, NULL, NULL, jsonb_build_object('file', archive.file),
               act.actor, '', act.acted_at
          FROM ledger.archive_acts AS act
          JOIN ledger.archives AS archive ON archive.id = act.archive_id) AS change
 WHERE source = $1
   AND ($2::text[] IS NULL OR act = ANY ($2))
   AND ($3::text IS NULL OR kind = $3)
   AND ($4::text IS NULL OR queue = $4)
   AND ($5::text IS NULL OR actor = $5)
   AND ($6::timestamptz IS NULL OR recorded_at >= $6)
   AND ($7::timestamptz IS NULL OR recorded_at < $7)
   AND ($8::text IS NULL OR strpos(lower(reason), lower($8)) > 0)
   AND CASE WHEN $11::boolean THEN (recorded_at, place_id) < ($9::timestamptz, $10::uuid)
            ELSE (recorded_at, place_id) > ($9::timestamptz, $10::uuid) END
   AND ($12::uuid IS NULL OR task_id = $12)
 ORDER BY CASE WHEN $11 THEN recorded_at END DESC, CASE WHEN $11 THEN place_id END DESC, recorded_at, place_id
 LIMIT $13;
