-- name: live_workers_by_queue
-- How many workers with a beat within the last $1 seconds that are not drained serve each queue.
SELECT queue AS name, count(*) AS live_workers
  FROM ledger.workers AS worker
 CROSS JOIN LATERAL unnest(worker.queues) AS served (queue)
 WHERE stopped_at IS NULL AND draining_since IS NULL
   AND beat_at > statement_timestamp() - make_interval(secs => $1::double precision)
 GROUP BY queue;

-- name: unfinished_by_queue
-- How many tasks of each queue, or of the queue $1, are ready, wait, are held back and run; what is finished is not
-- looked at, there may be millions.
SELECT queue AS name,
       count(*) FILTER (WHERE ready) AS ready,
       count(*) FILTER (WHERE status = 'PENDING' AND NOT ready AND hold IS NULL) AS waiting,
       count(*) FILTER (WHERE hold = 'paused') AS held_paused,
       count(*) FILTER (WHERE hold = 'limit') AS held_limit,
       count(*) FILTER (WHERE hold = 'after') AS held_after,
       count(*) FILTER (WHERE status = 'RUNNING') AS running,
       min(ready_at) AS oldest_ready_at
  FROM projections.task_status
 WHERE status IN ('PENDING', 'RUNNING') AND ($1::text IS NULL OR queue = $1)
 GROUP BY queue;

-- name: dead_tasks_by_queue
-- How many failed tasks of each queue, or of the queue $1, wait for somebody to deal with them; $2 in all are counted.
SELECT queue AS name, count(*) AS dead
  FROM (SELECT queue
          FROM projections.task_status
         WHERE status = 'FAILED' AND NOT discarded AND ($1::text IS NULL OR queue = $1)
         LIMIT $2) AS counted
 GROUP BY queue;

-- name: dead_messages_by_queue
-- How many messages of each queue, or of the queue $1, wait for somebody to deal with them; $2 in all are counted.
SELECT queue AS name, count(*) AS dead
  FROM (SELECT queue
          FROM ledger.dead_letters AS letter
         WHERE ($1::text IS NULL OR queue = $1)
           AND NOT EXISTS (SELECT FROM ledger.dead_letter_acts AS act WHERE act.letter_id = letter.letter_id)
         LIMIT $2) AS counted
 GROUP BY queue;

-- name: set_queues
-- What is set for each queue that is paused or has settings, or for the queue $1 if that is.
SELECT name, paused_at, concurrency_max, key_concurrency_max, rate_max, rate_seconds, key_rate_max, key_rate_seconds,
       fair, weights
  FROM ledger.queues
 WHERE ($1::text IS NULL OR name = $1)
   AND (paused_at IS NOT NULL OR fair OR weights <> '{}'
        OR coalesce(concurrency_max, key_concurrency_max, rate_max, key_rate_max) IS NOT NULL);

-- name: unsettled_pauses
-- The paused queues of which a task may start all the same: a live worker, with a beat within the last $1 seconds, may
-- not know of a pause of the last $2 seconds; or a start may not be in the read model yet, which is told from the next
-- $3 events after it, and where there are more it is taken for granted.
WITH unseen AS MATERIALIZED (
    SELECT queue, type
      FROM ledger.events
     WHERE position > (SELECT coalesce(max(position), 0) FROM ledger.checkpoints WHERE name = 'projection:task_status')
     ORDER BY position
     LIMIT $3
)
SELECT name
  FROM ledger.queues AS queue
 WHERE paused_at IS NOT NULL
   AND (EXISTS (SELECT FROM unseen WHERE unseen.queue = queue.name AND unseen.type = 'task.started')
        OR (SELECT count(*) FROM unseen) >= $3
        OR queue.paused_at > statement_timestamp() - make_interval(secs => $2::double precision)
           AND EXISTS (SELECT FROM ledger.workers AS worker
                        WHERE worker.stopped_at IS NULL AND queue.name = ANY (worker.queues)
                          AND worker.beat_at > statement_timestamp() - make_interval(secs => $1::double precision)));

-- name: live_permits_by_queue
-- How many tasks of each queue, or of the queue $1, the limits have let through whose attempt is not over: their
-- streams say so, because nobody follows the permits of a queue that holds nothing back.
SELECT queue AS name, count(*) AS permits
  FROM ledger.permits AS permit
 WHERE ended_at IS NULL AND ($1::text IS NULL OR queue = $1)
   AND NOT EXISTS (SELECT FROM ledger.events AS event
                    WHERE event.task_id = permit.task_id AND event.version > permit.version
                      AND event.type IN ('task.completed', 'task.failed', 'task.cancelled', 'task.held'))
 GROUP BY queue;

-- name: pause_queue
-- Pauses a queue that is not, with its line in the history; no row where it is paused already.
WITH paused AS (
    INSERT INTO ledger.queues AS queue (name, paused_at) VALUES ($1, clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET paused_at = excluded.paused_at, updated_at = excluded.updated_at
     WHERE queue.paused_at IS NULL
    RETURNING name
)
INSERT INTO ledger.queue_changes (queue, change, actor, reason)
SELECT name, 'paused', $2, $3 FROM paused
RETURNING id;

-- name: resume_queue
-- Resumes a queue that is paused, with its line in the history; no row where it is not.
WITH resumed AS (
    UPDATE ledger.queues SET paused_at = NULL, updated_at = clock_timestamp()
     WHERE name = $1 AND paused_at IS NOT NULL
    RETURNING name
)
INSERT INTO ledger.queue_changes (queue, change, actor, reason)
SELECT name, 'resumed', $2, $3 FROM resumed
RETURNING id;

-- name: set_queue
-- Sets everything for a queue, with its line in the history; no row where all of it was set so already.
WITH changed AS (
    INSERT INTO ledger.queues AS queue (name, concurrency_max, key_concurrency_max, rate_max, rate_seconds,
                                        key_rate_max, key_rate_seconds, fair, weights)
    VALUES ($1, $4, $5, $6, $7, $8, $9, $10, $11::jsonb)
    ON CONFLICT (name) DO UPDATE
       SET concurrency_max = excluded.concurrency_max, key_concurrency_max = excluded.key_concurrency_max,
           rate_max = excluded.rate_max, rate_seconds = excluded.rate_seconds,
           key_rate_max = excluded.key_rate_max, key_rate_seconds = excluded.key_rate_seconds,
           fair = excluded.fair, weights = excluded.weights, updated_at = excluded.updated_at
     WHERE (queue.concurrency_max, queue.key_concurrency_max, queue.rate_max, queue.rate_seconds,
            queue.key_rate_max, queue.key_rate_seconds, queue.fair, queue.weights)
           IS DISTINCT FROM
           (excluded.concurrency_max, excluded.key_concurrency_max, excluded.rate_max, excluded.rate_seconds,
            excluded.key_rate_max, excluded.key_rate_seconds, excluded.fair, excluded.weights)
    RETURNING name
)
INSERT INTO ledger.queue_changes (queue, change, settings, actor, reason)
SELECT name, 'set', $12::jsonb, $2, $3 FROM changed
RETURNING id;

-- name: reset_queue
-- Takes away what is set for a queue, with its line in the history; no row where nothing is set.
WITH changed AS (
    UPDATE ledger.queues
       SET concurrency_max = NULL, key_concurrency_max = NULL, rate_max = NULL, rate_seconds = NULL,
           key_rate_max = NULL, key_rate_seconds = NULL, fair = false, weights = '{}', updated_at = clock_timestamp()
     WHERE name = $1
       AND (fair OR weights <> '{}'
            OR coalesce(concurrency_max, key_concurrency_max, rate_max, key_rate_max) IS NOT NULL)
    RETURNING name
)
INSERT INTO ledger.queue_changes (queue, change, actor, reason)
SELECT name, 'reset', $2, $3 FROM changed
RETURNING id;

-- name: list_queue_changes
-- A page of the history of a queue, newest first, of the changes before $2 where that is given.
SELECT id, change, settings, actor, reason, recorded_at
  FROM ledger.queue_changes
 WHERE queue = $1 AND ($2::bigint IS NULL OR id < $2)
 ORDER BY id DESC
 LIMIT $3;
