-- name: register_worker
-- A new incarnation of a worker process; its session key names the advisory lock that it holds while it lives.
INSERT INTO ledger.workers (worker_id, name, queues) VALUES ($1, $2, $3) RETURNING session_key;

-- name: hold_worker_session
-- Held on a connection of its own: when the process dies, the lock goes at once.
SELECT pg_advisory_lock(19531, $1);

-- name: beat
-- One statement a beat: says that the worker lives, and learns the time and which of its tasks are to be cancelled.
WITH beat AS (
    UPDATE ledger.workers SET beat_at = clock_timestamp(), running = cardinality($2::uuid[]) WHERE worker_id = $1
)
SELECT clock_timestamp() AS now,
       ARRAY (SELECT mine.task_id
                FROM unnest($2::uuid[], $3::integer[]) AS mine (task_id, started_version)
                JOIN ledger.events AS event
                  ON event.task_id = mine.task_id AND event.version > mine.started_version
               WHERE event.type = 'task.cancel_requested') AS cancel_requested;

-- name: stop_worker
-- The worker left by itself.
UPDATE ledger.workers SET beat_at = clock_timestamp(), running = 0, stopped_at = clock_timestamp() WHERE worker_id = $1;

-- name: tasks_of_lost_workers
-- Running tasks whose worker is gone: left by itself, session lock lost for $1, no beat for $2, or never known.
-- A restart of the database drops every session lock and stops every beat, so nothing counts from before it.
SELECT status.task_id, status.attempt, status.worker_id
  FROM projections.task_status AS status
  LEFT JOIN ledger.workers AS worker ON worker.worker_id::text = status.worker_id
 WHERE status.status = 'RUNNING'
   AND (worker.worker_id IS NULL
        OR worker.stopped_at IS NOT NULL
        OR greatest(worker.beat_at, pg_postmaster_start_time()) < clock_timestamp() - $2::interval
        OR (greatest(worker.beat_at, pg_postmaster_start_time()) < clock_timestamp() - $1::interval
            AND NOT EXISTS (SELECT FROM pg_locks
                             WHERE locktype = 'advisory' AND objsubid = 2
                               AND classid = 19531 AND objid = worker.session_key
                               AND database = (SELECT oid FROM pg_database
                                                WHERE datname = current_database()))))
 ORDER BY status.task_id
 LIMIT $3;
