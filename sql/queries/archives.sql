-- name: months_in_log
-- The tables of the log and of what is kept beside it, with their sizes.
SELECT class.relname AS name, inherits.inhparent = 'ledger.events'::regclass AS is_in_log,
       pg_total_relation_size(class.oid) AS bytes
  FROM pg_inherits AS inherits
  JOIN pg_class AS class ON class.oid = inherits.inhrelid
 WHERE inherits.inhparent IN ('ledger.events'::regclass, 'archive.events'::regclass)
 ORDER BY class.relname;

-- name: facts_of_month
-- What the tasks between two ids amount to in the log.
SELECT count(*) AS events, count(*) FILTER (WHERE version = 1) AS tasks, min(position) AS first_position,
       max(position) AS last_position, min(recorded_at) AS first_recorded_at, max(recorded_at) AS last_recorded_at
  FROM ledger.events
 WHERE task_id >= $1 AND task_id < $2;

-- name: facts_of_kept_month
-- The same of a month that is kept beside the log.
SELECT count(*) AS events, count(*) FILTER (WHERE version = 1) AS tasks, min(position) AS first_position,
       max(position) AS last_position, min(recorded_at) AS first_recorded_at, max(recorded_at) AS last_recorded_at
  FROM archive.events
 WHERE task_id >= $1 AND task_id < $2;

-- name: facts_of_default
-- What the tasks amount to that are of no prepared month.
SELECT count(*) AS events, count(*) FILTER (WHERE version = 1) AS tasks FROM ledger.events_default;

-- name: unfinished_of_month
-- Tasks between two ids that are to go on, by their streams, and how many there are; the first few of them.
SELECT task_id, count(*) OVER () AS tasks
  FROM (SELECT DISTINCT ON (task_id) task_id, type, data ->> 'retry_at' AS retry_at
          FROM ledger.events
         WHERE task_id >= $1 AND task_id < $2
           AND type IN ('task.submitted', 'task.retried', 'task.completed', 'task.failed', 'task.cancelled')
         ORDER BY task_id, version DESC) AS last
 WHERE type IN ('task.submitted', 'task.retried') OR type = 'task.failed' AND retry_at IS NOT NULL
 ORDER BY task_id
 LIMIT 5;

-- name: lagging_reader
-- A reader of the log that has not come past a position: whoever has a checkpoint or must have one, and the seals.
SELECT name, position
  FROM (SELECT name, position FROM ledger.readers
        UNION ALL
        SELECT needed.name, 0
          FROM unnest(ARRAY['relay', 'projection:task_status', 'follow_ups']) AS needed (name)
         WHERE NOT EXISTS (SELECT FROM ledger.readers AS present WHERE present.name = needed.name)
        UNION ALL
        SELECT 'sealer', coalesce(max(upto_position), 0) FROM ledger.seals) AS reader
 WHERE position < $1
 ORDER BY position, name
 LIMIT 1;

-- name: notes_about_month
-- What still refers to the tasks between two ids, and would not find their events: how much of each kind.
SELECT count(*) FILTER (WHERE note = 'key') AS idempotency_keys, count(*) FILTER (WHERE note = 'permit') AS permits
  FROM (SELECT 'key' AS note FROM ledger.idempotency_keys WHERE task_id >= $1 AND task_id < $2
        UNION ALL
        SELECT 'permit' FROM ledger.permits WHERE ended_at IS NULL AND task_id >= $1 AND task_id < $2) AS note;

-- name: waiting_for_month
-- Tasks that wait for one between these ids: their parents' streams decide what becomes of them.
SELECT count(*) AS tasks
  FROM projections.task_status
 WHERE hold = 'after' AND EXISTS (SELECT FROM unnest(after) AS parent (id) WHERE id >= $1 AND id < $2);

-- name: read_month
-- The events of the tasks between two ids as their leaves hash them, in the order of the log.
SELECT position, task_id::text, version, type, schema_version, kind, queue,
       CASE WHEN isfinite(occurred_at) THEN (extract(epoch FROM occurred_at) * 1000000)::bigint END AS occurred_at,
       CASE WHEN isfinite(recorded_at) THEN (extract(epoch FROM recorded_at) * 1000000)::bigint END AS recorded_at,
       actor, correlation_id, causation_id, traceparent, data
  FROM ledger.events
 WHERE task_id >= $1 AND task_id < $2
 ORDER BY position;

-- name: read_kept_month
-- The same of a month that is kept beside the log.
SELECT position, task_id::text, version, type, schema_version, kind, queue,
       CASE WHEN isfinite(occurred_at) THEN (extract(epoch FROM occurred_at) * 1000000)::bigint END AS occurred_at,
       CASE WHEN isfinite(recorded_at) THEN (extract(epoch FROM recorded_at) * 1000000)::bigint END AS recorded_at,
       actor, correlation_id, causation_id, traceparent, data
  FROM archive.events
 WHERE task_id >= $1 AND task_id < $2
 ORDER BY position;

-- name: read_kept_leaf_rows
-- What is kept beside the log between two positions, as its leaves hash it, of the archive $3 alone.
SELECT position, task_id::text, version, type, schema_version, kind, queue,
       CASE WHEN isfinite(occurred_at) THEN (extract(epoch FROM occurred_at) * 1000000)::bigint END AS occurred_at,
       CASE WHEN isfinite(recorded_at) THEN (extract(epoch FROM recorded_at) * 1000000)::bigint END AS recorded_at,
       actor, correlation_id, causation_id, traceparent, data
  FROM archive.events
 WHERE position > $1 AND position <= $2
   AND task_id >= (SELECT least_task_id FROM ledger.archives WHERE id = $3)
   AND task_id < (SELECT beyond_task_id FROM ledger.archives WHERE id = $3)
 ORDER BY position, task_id, version;

-- name: bound_month
-- Says of a table what its partition's bounds say; it is not checked yet.
SELECT ledger.bound_month($1, $2, $3, $4);

-- name: check_bound_of_month
-- Checks it, while whoever writes goes on.
SELECT ledger.check_bound_of_month($1, $2);

-- name: bound_move_wait
-- For this transaction: while a move waits for its lock, everybody waits behind it, so it gives up soon; and it
-- never happens beside the making of a partition.
SELECT set_config('lock_timeout', '300', true), set_config('synchronous_commit', 'on', true),
       pg_advisory_xact_lock(19528);

-- name: hold_month
-- First in a move.
SELECT ledger.hold_month($1, $2);

-- name: lock_log
-- From here on nobody reads or writes the log until the transaction ends.
LOCK TABLE ONLY ledger.events IN ACCESS EXCLUSIVE MODE;

-- name: lock_kept_months
-- From here on nobody reads the months that are kept.
LOCK TABLE ONLY archive.events IN ACCESS EXCLUSIVE MODE;

-- name: hold_log
-- First in its transaction, before the snapshot: no month leaves the log or comes back meanwhile.
LOCK TABLE ONLY ledger.events IN ACCESS SHARE MODE;

-- name: last_position_of_month
-- Where the month ends now; the index of its partition tells.
SELECT max(position) FROM ledger.events WHERE task_id >= $1 AND task_id < $2;

-- name: move_month
-- Takes a month out of the log, or back into it.
SELECT ledger.move_month($1, $2, $3, $4, $5);

-- name: make_month
-- The table that a file is read into.
SELECT ledger.make_month($1);

-- name: finish_month
-- Its keys, guards and place.
SELECT ledger.finish_month($1, $2, $3);

-- name: drop_month
-- For ever.
SELECT ledger.drop_month($1);

-- name: insert_archive
-- Records what left the log.
INSERT INTO ledger.archives (month, least_task_id, beyond_task_id, events, tasks, first_position, last_position,
                             first_recorded_at, last_recorded_at, file, file_bytes, file_sha256, actor)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
RETURNING id;

-- name: insert_archive_share
-- Records which events of a seal they were.
INSERT INTO ledger.archive_shares (archive_id, seal, events, root, ranges) VALUES ($1, $2, $3, $4, $5);

-- name: insert_archive_act
-- Records what became of an archive.
INSERT INTO ledger.archive_acts (archive_id, act, actor) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: archived_months
-- The months that are not in the log, oldest first.
SELECT id, month, least_task_id, beyond_task_id, events, tasks, first_position, last_position, first_recorded_at,
       last_recorded_at, file, file_bytes, file_sha256, actor, archived_at, is_dropped
  FROM ledger.archived_months
 ORDER BY month, id;

-- name: archive_of_task
-- The archive that the history of a task would be in.
SELECT month, file FROM ledger.archived_months WHERE $1 >= least_task_id AND $1 < beyond_task_id LIMIT 1;

-- name: shares_of_archive
-- What an archive has of each seal.
SELECT seal, events, root, ranges FROM ledger.archive_shares WHERE archive_id = $1 ORDER BY seal;

-- name: shares_of_seal
-- What the archives have of a seal.
SELECT archive.id, archive.month, archive.is_dropped, share.events, share.root, share.ranges
  FROM ledger.archive_shares AS share
  JOIN ledger.archived_months AS archive ON archive.id = share.archive_id
 WHERE share.seal = $1
 ORDER BY archive.id;

-- name: rows_in_the_way
-- Events in the log that a month from a file would be doubled by: of its tasks, or upon its positions.
SELECT (SELECT count(*) FROM ledger.events WHERE task_id >= $1 AND task_id < $2) AS of_tasks,
       (SELECT count(*)
          FROM archive.events AS kept
          JOIN ledger.events AS event ON event.position = kept.position
         WHERE kept.task_id >= $1 AND kept.task_id < $2) AS of_positions;

-- name: archived_across
-- The archived months with events both before a moment and after another one that is not earlier, or between the two.
SELECT to_char(month, 'YYYY-MM') AS month
  FROM ledger.archived_months
 WHERE first_recorded_at <= $2 AND last_recorded_at > $1
 ORDER BY month;

-- name: archived_between
-- The archived months with events between two positions.
SELECT to_char(month, 'YYYY-MM') AS month, first_position, last_position, file
  FROM ledger.archived_months
 WHERE last_position > $1 AND first_position <= $2
 ORDER BY first_position;
