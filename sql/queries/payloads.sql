-- name: keep_payload_keys
-- Keeps the keys of new erasable tasks; in the transaction of their submission.
INSERT INTO ledger.payload_keys (task_id, wrapped_key, secret_id, tags)
SELECT task_id, wrapped_key, secret_id, ARRAY (SELECT jsonb_array_elements_text(tags))
  FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::jsonb[]) AS fresh (task_id, wrapped_key, secret_id, tags);

-- name: find_payload_keys
-- The keys of those of these tasks that are erasable, or that they were destroyed.
SELECT asked.task_id, kept.wrapped_key, kept.secret_id, erasure.task_id IS NOT NULL AS is_erased
  FROM unnest($1::uuid[]) AS asked (task_id)
  LEFT JOIN ledger.payload_keys AS kept ON kept.task_id = asked.task_id
  LEFT JOIN ledger.erasures AS erasure ON erasure.task_id = asked.task_id
 WHERE kept.task_id IS NOT NULL OR erasure.task_id IS NOT NULL;

-- name: keep_tombstone
-- Notes that a task's key is destroyed; in the transaction that does it, and before it. Whoever finds another's
-- tombstone is refused by the append that follows.
INSERT INTO ledger.erasures (task_id, actor, reason, order_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- name: destroy_payload_key
-- Destroys a task's key.
DELETE FROM ledger.payload_keys WHERE task_id = $1;

-- name: count_payload_keys
-- How many erasable tasks have a tag, and a key.
SELECT count(*) FROM ledger.payload_keys WHERE tags @> ARRAY[$1::text];

-- name: begin_erasure
-- Something to erase by a tag, for the scheduler; what is submitted after this moment is none of it.
INSERT INTO ledger.erasure_orders (order_id, tag, actor, correlation_id, traceparent, reason, found)
VALUES ($1, $2, $3, $4, $5, $6, (SELECT count(*) FROM ledger.payload_keys WHERE tags @> ARRAY[$2::text]))
RETURNING order_id, tag, actor, correlation_id, traceparent, reason, found, state, after_task, unfinished, ordered_at,
          ended_at, 0::bigint AS erased;

-- name: read_erasure
-- How far an erasure by tag has come; what is erased is counted by the tombstones, so that no kill doubles it.
SELECT order_id, tag, actor, correlation_id, traceparent, reason, found, state, after_task, unfinished, ordered_at,
       ended_at, (SELECT count(*) FROM ledger.erasures AS done WHERE done.order_id = one.order_id) AS erased
  FROM ledger.erasure_orders AS one
 WHERE order_id = $1;

-- name: running_erasures
-- The erasures to work off, oldest first.
SELECT order_id, tag, actor, correlation_id, traceparent, reason, found, state, after_task, unfinished, ordered_at,
       ended_at, 0::bigint AS erased
  FROM ledger.erasure_orders
 WHERE state = 'running'
 ORDER BY order_id
 LIMIT $1;

-- name: tasks_to_erase
-- The next tasks of an erasure, in the order of their ids.
SELECT task_id
  FROM ledger.payload_keys
 WHERE tags @> ARRAY[$1::text] AND task_id > $2 AND created_at <= $3
 ORDER BY task_id
 LIMIT $4;

-- name: advance_erasure
-- Compare and set: notes how far an erasure has come, and whether that is the end.
UPDATE ledger.erasure_orders
   SET after_task = $3, unfinished = unfinished + $4,
       state = CASE WHEN $5::boolean THEN 'done' ELSE state END,
       ended_at = CASE WHEN $5::boolean THEN clock_timestamp() END
 WHERE order_id = $1 AND after_task = $2 AND state = 'running'
RETURNING order_id;

-- name: keys_of_other_secrets
-- A page of the keys that are not wrapped under a secret, in the order of their tasks.
SELECT task_id, wrapped_key, secret_id
  FROM ledger.payload_keys
 WHERE secret_id <> $1 AND task_id > $2
 ORDER BY task_id
 LIMIT $3;

-- name: rewrap_payload_key
-- Puts another wrapping around a key, unless it has changed or is gone.
UPDATE ledger.payload_keys SET wrapped_key = $3, secret_id = $4 WHERE task_id = $1 AND wrapped_key = $2
RETURNING task_id;
