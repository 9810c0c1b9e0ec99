-- name: read_leaf_rows
-- The log between two positions as its leaves hash it; positions that somebody doubled come one after the other.
SELECT position, task_id::text, version, type, schema_version, kind, queue,
       CASE WHEN isfinite(occurred_at) THEN (extract(epoch FROM occurred_at) * 1000000)::bigint END AS occurred_at,
       CASE WHEN isfinite(recorded_at) THEN (extract(epoch FROM recorded_at) * 1000000)::bigint END AS recorded_at,
       actor, correlation_id, causation_id, traceparent, data
  FROM ledger.events
 WHERE position > $1 AND position <= $2
 ORDER BY position, task_id, version
 LIMIT $3;

-- name: read_task_leaf_rows
-- The events of one task as their leaves hash them, in the log or beside it.
SELECT position, task_id::text, version, type, schema_version, kind, queue,
       CASE WHEN isfinite(occurred_at) THEN (extract(epoch FROM occurred_at) * 1000000)::bigint END AS occurred_at,
       CASE WHEN isfinite(recorded_at) THEN (extract(epoch FROM recorded_at) * 1000000)::bigint END AS recorded_at,
       actor, correlation_id, causation_id, traceparent, data
  FROM ledger.events
 WHERE task_id = $1
 UNION ALL
SELECT position, task_id::text, version, type, schema_version, kind, queue,
       CASE WHEN isfinite(occurred_at) THEN (extract(epoch FROM occurred_at) * 1000000)::bigint END AS occurred_at,
       CASE WHEN isfinite(recorded_at) THEN (extract(epoch FROM recorded_at) * 1000000)::bigint END AS recorded_at,
       actor, correlation_id, causation_id, traceparent, data
  FROM archive.events
 WHERE task_id = $1
 ORDER BY version;

-- name: newest_seal
-- Where the chain ends. A time that somebody put beyond the calendar of the client is cut: it is wrong either way.
SELECT number, after_position, upto_position, events, root, previous_hash,
       greatest(least(sealed_at, '9999-01-01Z'), '0002-01-01Z') AS sealed_at, hash
  FROM ledger.seals
 ORDER BY number DESC
 LIMIT 1;

-- name: read_seals
-- A page of the chain; its times are cut like that of the newest one.
SELECT number, after_position, upto_position, events, root, previous_hash,
       greatest(least(sealed_at, '9999-01-01Z'), '0002-01-01Z') AS sealed_at, hash
  FROM ledger.seals
 WHERE number > $1
 ORDER BY number
 LIMIT $2;

-- name: seal_before
-- The last seal that ends before a position; the next one covers it.
SELECT max(number) FROM ledger.seals WHERE upto_position < $1;

-- name: hashes_of_seals
-- What the ledger says about seals that were exported.
SELECT number, hash FROM ledger.seals WHERE number = ANY ($1::bigint[]);

-- name: seals_of_positions
-- The number of the seal that covers each of these positions.
SELECT asked.position, seal.number
  FROM unnest($1::bigint[]) AS asked (position)
 CROSS JOIN LATERAL (
       SELECT number, after_position FROM ledger.seals
        WHERE upto_position >= asked.position ORDER BY upto_position LIMIT 1) AS seal
 WHERE seal.after_position < asked.position;

-- name: read_seal_leaves
-- What a seal keeps of each of its events.
SELECT leaves FROM ledger.seals WHERE number = $1;

-- name: insert_seal
-- Compare and set: of two that seal the same range one finds no row.
INSERT INTO ledger.seals (number, after_position, upto_position, events, root, previous_hash, sealed_at, hash, leaves)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT DO NOTHING
RETURNING number;

-- name: count_unsealed
-- How many events no seal covers yet.
SELECT count(*) FROM ledger.events WHERE position > $1 AND position <= $2;
