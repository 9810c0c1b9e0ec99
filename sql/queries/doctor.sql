-- name: broken_streams
-- Invariant 2: versions run from 1 without a gap or a duplicate.
SELECT task_id::text AS id, format('%s events, versions %s to %s', count(*), min(version), max(version)) AS found
  FROM ledger.events
 GROUP BY task_id
HAVING count(*) <> max(version) OR min(version) <> 1
 ORDER BY task_id
 LIMIT $1;

-- name: doubled_positions
-- Invariant 2: a position stands once.
SELECT position::text AS id, format('%s events', count(*)) AS found
  FROM ledger.events
 GROUP BY position
HAVING count(*) > 1
 ORDER BY position
 LIMIT $1;

-- name: unguarded_tables
-- Invariant 2: the triggers that refuse every change stand on the table and on each of its partitions, and on every
-- other table that is only ever added to.
SELECT relation.oid::regclass::text AS id, 'a trigger is missing or disabled' AS found
  FROM pg_class AS relation
 WHERE relation.oid IN (SELECT relid FROM pg_partition_tree('ledger.events')
                         UNION ALL
                        SELECT relid FROM pg_partition_tree('archive.events'))
   AND (SELECT count(*) FROM pg_trigger AS guard
         WHERE guard.tgrelid = relation.oid AND guard.tgenabled = 'A'
           AND guard.tgname IN ('mark_append', 'refuse_change')) < 2
 UNION ALL
SELECT relation.oid::regclass::text, 'the trigger that refuses every change is missing or disabled'
  FROM pg_class AS relation
 WHERE relation.oid IN ('ledger.stale_writes'::regclass, 'ledger.queue_changes'::regclass,
                        'ledger.schedule_changes'::regclass, 'ledger.dead_letters'::regclass,
                        'ledger.dead_letter_acts'::regclass, 'ledger.seals'::regclass,
                        'ledger.webhook_changes'::regclass, 'ledger.erasures'::regclass,
                        'ledger.archives'::regclass, 'ledger.archive_shares'::regclass,
                        'ledger.archive_acts'::regclass)
   AND NOT EXISTS (SELECT FROM pg_trigger AS guard
                    WHERE guard.tgrelid = relation.oid AND guard.tgenabled = 'A' AND guard.tgname = 'refuse_change')
 ORDER BY 1
 LIMIT $1;

-- name: doubled_outcomes
-- Invariant 3: an attempt is started once and ends at most once; a parent's failure ends a task without an attempt.
SELECT task_id::text AS id,
       format('attempt %s: %s starts, %s outcomes', data ->> 'attempt',
              count(*) FILTER (WHERE type = 'task.started'),
              count(*) FILTER (WHERE type <> 'task.started')) AS found
  FROM ledger.events
 WHERE type IN ('task.started', 'task.completed', 'task.failed') AND data ->> 'cause' IS DISTINCT FROM 'parent'
 GROUP BY task_id, data ->> 'attempt'
HAVING count(*) FILTER (WHERE type = 'task.started') <> 1
    OR count(*) FILTER (WHERE type <> 'task.started') > 1
 ORDER BY task_id
 LIMIT $1;

-- name: overlapping_attempts
-- Invariant 3: no attempt starts while another one runs.
SELECT task_id::text AS id, format('version %s starts while an attempt runs', version) AS found
  FROM (SELECT task_id, version, type,
               lag(type) OVER (PARTITION BY task_id ORDER BY version) AS previous
          FROM ledger.events
         WHERE type NOT IN ('task.progressed', 'task.cancel_requested')) AS event
 WHERE type = 'task.started' AND previous NOT IN ('task.submitted', 'task.released', 'task.retried')
 ORDER BY task_id
 LIMIT $1;

-- name: forgotten_ready_tasks
-- Invariant 4: a ready task is started or released again within the bound, where a worker with a free slot serves it
-- and its queue is not paused, nor was within the bound.
SELECT status.task_id::text AS id, format('ready since %s', status.ready_at) AS found
  FROM projections.task_status AS status
 WHERE status.ready AND status.ready_at < statement_timestamp() - $2::interval
   AND NOT EXISTS (SELECT FROM projections.task_status AS busy
                    WHERE busy.queue = status.queue AND busy.status = 'RUNNING')
   AND EXISTS (SELECT FROM ledger.workers AS worker
                WHERE worker.stopped_at IS NULL AND status.queue = ANY (worker.queues)
                  AND worker.beat_at > statement_timestamp() - $2::interval
                  AND worker.started_at < statement_timestamp() - $2::interval)
   AND NOT EXISTS (SELECT FROM ledger.queues AS queue
                    WHERE queue.name = status.queue
                      AND (queue.paused_at IS NOT NULL OR queue.updated_at >= statement_timestamp() - $2::interval))
 ORDER BY status.task_id
 LIMIT $1;

-- name: forgotten_held_tasks
-- Invariant 4: a task that its queue held back is released within the bound once the queue has neither pause nor limit.
SELECT status.task_id::text AS id, format('held back (%s) since %s', status.hold, status.updated_at) AS found
  FROM projections.task_status AS status
  LEFT JOIN ledger.queues AS queue ON queue.name = status.queue
 WHERE status.status = 'PENDING' AND status.hold IN ('paused', 'limit')
   AND status.updated_at < statement_timestamp() - $2::interval
   AND (queue.name IS NULL
        OR (queue.updated_at < statement_timestamp() - $2::interval AND queue.paused_at IS NULL AND NOT queue.fair
            AND coalesce(queue.concurrency_max, queue.key_concurrency_max, queue.rate_max, queue.key_rate_max) IS NULL))
 ORDER BY status.task_id
 LIMIT $1;

-- name: overdue_tasks
-- Invariant 4: a waiting task is released when its time has come.
SELECT task_id::text AS id, format('due since %s', release_at) AS found
  FROM projections.task_status
 WHERE status = 'PENDING' AND NOT ready AND hold IS NULL AND release_at < statement_timestamp() - $2::interval
 ORDER BY task_id
 LIMIT $1;

-- name: forgotten_follow_ups
-- Invariant 4: a task that waits for others goes on when all of them have ended and its own time has come.
SELECT status.task_id::text AS id, 'all that it waits for has ended' AS found
  FROM projections.task_status AS status
 WHERE status.hold = 'after'
   AND greatest(status.created_at, status.release_at) < statement_timestamp() - $2::interval
   AND NOT EXISTS (
       SELECT FROM projections.task_status AS parent
        WHERE parent.task_id = ANY (status.after)
          AND (parent.finished_at IS NULL OR parent.finished_at > statement_timestamp() - $2::interval))
 ORDER BY status.task_id
 LIMIT $1;

-- name: orphaned_tasks
-- Invariant 4: a running task has a worker that lives, or it is swept within the bound.
SELECT status.task_id::text AS id, format('worker %s does not live', status.worker_id) AS found
  FROM projections.task_status AS status
  LEFT JOIN ledger.workers AS worker ON worker.worker_id::text = status.worker_id
 WHERE status.status = 'RUNNING' AND status.started_at < statement_timestamp() - $2::interval
   AND coalesce(worker.beat_at, '-infinity') < statement_timestamp() - $2::interval
 ORDER BY status.task_id
 LIMIT $1;

-- name: unpublished_events
-- Invariant 5: every event is published within the bound.
SELECT event_id AS id, format('recorded at %s, not published', recorded_at) AS found
  FROM (SELECT format('%s:%s', task_id, version) AS event_id, recorded_at, position
          FROM ledger.events
         WHERE position > (SELECT coalesce(max(position), 0) FROM ledger.readers WHERE name = 'relay')
         ORDER BY position
         LIMIT $1) AS event
 WHERE recorded_at < statement_timestamp() - $2::interval
 ORDER BY position;

-- name: unchained_seals
-- Invariant 7: each seal follows the one before it.
SELECT number::text AS id, 'it does not follow the seal before it' AS found
  FROM (SELECT number, after_position, previous_hash,
               lag(number, 1, 0::bigint) OVER chain AS last_number,
               lag(upto_position, 1, 0::bigint) OVER chain AS last_upto,
               lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER chain AS last_hash
          FROM ledger.seals
        WINDOW chain AS (ORDER BY number)) AS seal
 WHERE (number, after_position, previous_hash) IS DISTINCT FROM (last_number + 1, last_upto, last_hash)
 ORDER BY number
 LIMIT $1;

-- name: miscounted_seals
-- Invariant 7: as many events as were sealed are there, or in the records of archives.
SELECT seal.number::text AS id, format('%s events were sealed, %s are there', seal.events, present.events) AS found
  FROM ledger.seals AS seal
 CROSS JOIN LATERAL (
       SELECT (SELECT count(*) FROM ledger.events
                WHERE position > seal.after_position AND position <= seal.upto_position)
              + (SELECT coalesce(sum(share.events), 0)
                   FROM ledger.archive_shares AS share
                   JOIN ledger.archived_months AS archive ON archive.id = share.archive_id
                  WHERE share.seal = seal.number) AS events) AS present
 WHERE seal.events <> present.events
 ORDER BY seal.number
 LIMIT $1;

-- name: keyless_payloads
-- Invariant 8: an erasable task has its key, or a tombstone that says who destroyed it.
SELECT submission.task_id::text AS id, 'its payload has neither a key nor a tombstone' AS found
  FROM ledger.events AS submission
 WHERE submission.version = 1 AND submission.data -> 'erasable' = 'true'
   AND NOT EXISTS (SELECT FROM ledger.payload_keys AS kept WHERE kept.task_id = submission.task_id)
   AND NOT EXISTS (SELECT FROM ledger.erasures AS erasure WHERE erasure.task_id = submission.task_id)
 ORDER BY submission.task_id
 LIMIT $1;

-- name: undestroyed_keys
-- Invariant 8: an erased task has no key left.
SELECT task_id::text AS id, 'it was erased, and its key is still there' AS found
  FROM ledger.erasures
  JOIN ledger.payload_keys USING (task_id)
 ORDER BY task_id
 LIMIT $1;

-- name: unrecorded_erasures
-- Invariant 8: an erasure stands in the stream of its task, and the stream's in the tombstones.
SELECT coalesce(erasure.task_id, event.task_id)::text AS id,
       CASE WHEN event.task_id IS NULL THEN 'its stream does not say that it was erased'
            ELSE 'its stream says that it was erased, and there is no tombstone' END AS found
  FROM ledger.erasures AS erasure
  FULL JOIN (SELECT task_id FROM ledger.events WHERE type = 'task.erased') AS event ON event.task_id = erasure.task_id
 WHERE erasure.task_id IS NULL OR event.task_id IS NULL
 ORDER BY 1
 LIMIT $1;
