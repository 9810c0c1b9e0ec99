-- name: register_worker
-- A new incarnation of a worker process; its session key names the advisory lock that it holds while it lives.
-- Asked again, because the answer was lost or the row was, it answers the same.
INSERT INTO ledger.workers (worker_id, name, queues, capacity) VALUES ($1, $2, $3, $4)
ON CONFLICT (worker_id) DO UPDATE SET beat_at = clock_timestamp(), stopped_at = NULL
RETURNING session_key;

-- name: prepare_worker_session
-- A worker that vanished with its machine loses its session in 15 s. A beat that a crash of the database takes back
-- is followed by the next, so it need not wait for the disk.
SELECT set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '5', false),
       set_config('tcp_keepalives_count', '2', false), set_config('tcp_user_timeout', '15000', false),
       set_config('idle_session_timeout', '0', false), set_config('synchronous_commit', 'off', false);

-- name: hold_worker_session
-- Held on a connection of its own: when the process dies, the lock goes at once. It never waits: the worker's own lost
-- connection may still hold the lock, until the server notices.
SELECT pg_try_advisory_lock(19531, $1);

-- name: beat
-- One statement a beat: says that the worker lives, and learns the time, whether it is known, whether it is to take
-- nothing new, and which of its tasks are to be cancelled. Whoever beats is not stopped, whatever was believed of him.
WITH beat AS (
    UPDATE ledger.workers
       SET beat_at = clock_timestamp(), running = cardinality($2::uuid[]), takes = $4, stopped_at = NULL
     WHERE worker_id = $1
    RETURNING draining_since
)
SELECT clock_timestamp() AS now,
       EXISTS (SELECT FROM beat) AS known,
       EXISTS (SELECT FROM beat WHERE draining_since IS NOT NULL) AS draining,
       ARRAY (SELECT mine.task_id
                FROM unnest($2::uuid[], $3::integer[]) AS mine (task_id, started_version)
                JOIN ledger.events AS event
                  ON event.task_id = mine.task_id AND event.version > mine.started_version
               WHERE event.type = 'task.cancel_requested') AS cancel_requested;

-- name: stop_worker
-- The worker left by itself.
UPDATE ledger.workers
   SET beat_at = clock_timestamp(), running = 0, takes = false, stopped_at = clock_timestamp()
 WHERE worker_id = $1;

-- name: tasks_of_lost_workers
-- A page of running tasks whose worker is gone, with the evidence: it is unknown, it left by itself (stopped), it has
-- not beaten for $1 and its session lock is gone (session), or it has not beaten for the lease $2 (lease).
-- A restart of the database ends every session and every beat: for $3 after it a silent worker is not judged.
-- The locks are listed only if there is a silent worker: a subplan runs when it is first asked.
SELECT status.task_id, status.version, status.attempt, status.worker_id, worker.name, worker.beat_at,
       coalesce(worker.evidence, 'unknown') AS evidence
  FROM projections.task_status AS status
  LEFT JOIN (SELECT worker_id::text AS worker_id, name, beat_at,
                    CASE WHEN stopped_at IS NOT NULL THEN 'stopped'
                         WHEN beat_at >= statement_timestamp() - $1::interval
                              OR pg_postmaster_start_time() > statement_timestamp() - $3::interval
                         THEN 'alive'
                         WHEN session_key <> ALL (ARRAY (
                                  SELECT objid::bigint
                                    FROM pg_locks
                                   WHERE locktype = 'advisory' AND objsubid = 2 AND classid = 19531 AND granted
                                     AND database = (SELECT oid FROM pg_database
                                                      WHERE datname = current_database())))
                         THEN 'session'
                         WHEN beat_at < statement_timestamp() - $2::interval THEN 'lease'
                         ELSE 'alive'
                    END AS evidence
               FROM ledger.workers) AS worker
    ON worker.worker_id = status.worker_id
 WHERE status.status = 'RUNNING'
   AND worker.evidence IS DISTINCT FROM 'alive'
   AND status.task_id > $4
 ORDER BY status.task_id
 LIMIT $5;

-- name: count_leases
-- How many workers beat within the lease $1, and how many more did one lease ago and have not since.
SELECT count(*) FILTER (WHERE beat_at >= statement_timestamp() - $1::interval) AS held,
       count(*) FILTER (WHERE beat_at < statement_timestamp() - $1::interval) AS just_lost
  FROM ledger.workers
 WHERE stopped_at IS NULL AND beat_at >= statement_timestamp() - 2 * $1::interval;

-- name: retire_workers
-- For a process that knows that it is alone: no worker of before lives any more.
UPDATE ledger.workers
   SET running = 0, takes = false, stopped_at = clock_timestamp()
 WHERE stopped_at IS NULL
RETURNING worker_id;

-- name: forget_workers
-- Workers that left or died longer than $1 ago, unless a task is still in their name.
DELETE FROM ledger.workers AS worker
 WHERE coalesce(worker.stopped_at, worker.beat_at) < statement_timestamp() - $1::interval
   AND NOT EXISTS (SELECT FROM projections.task_status AS status
                    WHERE status.status = 'RUNNING' AND status.worker_id = worker.worker_id::text)
RETURNING worker.worker_id;

-- name: list_workers
-- Workers with the evidence of whether each lives, as it is judged for the tasks of the lost ones: those that live
-- first, then the newest; only the worker $4, only those of the queue $5, only those in a state of $6, where given.
SELECT worker_id, name, queues, capacity, running, started_at, beat_at, stopped_at, draining_since, takes, evidence, state
  FROM (SELECT worker_id, name, queues, capacity, running, started_at, beat_at, stopped_at, draining_since, takes,
               evidence,
               CASE evidence
                    WHEN 'stopped' THEN 'stopped'
                    WHEN 'alive' THEN CASE WHEN draining_since IS NULL THEN 'alive' ELSE 'draining' END
                    ELSE 'silent'
               END AS state
          FROM (SELECT worker_id, name, queues, capacity, running, started_at, beat_at, stopped_at, draining_since, takes,
                       CASE WHEN stopped_at IS NOT NULL THEN 'stopped'
                            WHEN beat_at >= statement_timestamp() - $1::interval
                                 OR pg_postmaster_start_time() > statement_timestamp() - $3::interval
                            THEN 'alive'
                            WHEN session_key <> ALL (ARRAY (
                                     SELECT objid::bigint
                                       FROM pg_locks
                                      WHERE locktype = 'advisory' AND objsubid = 2 AND classid = 19531 AND granted
                                        AND database = (SELECT oid FROM pg_database
                                                         WHERE datname = current_database())))
                            THEN 'session'
                            WHEN beat_at < statement_timestamp() - $2::interval THEN 'lease'
                            ELSE 'alive'
                       END AS evidence
                  FROM ledger.workers
                 WHERE ($4::uuid IS NULL OR worker_id = $4)
                   AND ($5::text IS NULL OR $5 = ANY (queues))) AS judged) AS worker
 WHERE ($6::text[] IS NULL OR state = ANY ($6))
 ORDER BY evidence = 'alive' DESC, started_at DESC, worker_id
 LIMIT $7;

-- name: tasks_of_workers
-- The tasks that run in the name of each of the workers $1, at most $2 of each.
SELECT task.worker_id, task.task_id, task.kind, task.queue, task.attempt, task.started_at
  FROM unnest($1::text[]) AS worker (worker_id)
 CROSS JOIN LATERAL (SELECT worker_id, task_id, kind, queue, attempt, started_at
                       FROM projections.task_status AS status
                      WHERE status.status = 'RUNNING' AND status.worker_id = worker.worker_id
                      ORDER BY task_id
                      LIMIT $2) AS task;

-- name: drain_worker
-- Asks a worker to take nothing new, with its line in the history; no row where it is asked already, or is gone.
WITH asked AS (
    UPDATE ledger.workers
       SET draining_since = clock_timestamp()
     WHERE worker_id = $1 AND draining_since IS NULL AND stopped_at IS NULL
    RETURNING worker_id
)
INSERT INTO ledger.worker_changes (worker_id, change, actor, reason)
SELECT worker_id, 'draining', $2, $3 FROM asked
RETURNING id;

-- name: resume_worker
-- Lets a worker take again, with its line in the history; no row where it may, or is gone.
WITH asked AS (
    UPDATE ledger.workers
       SET draining_since = NULL
     WHERE worker_id = $1 AND draining_since IS NOT NULL AND stopped_at IS NULL
    RETURNING worker_id
)
INSERT INTO ledger.worker_changes (worker_id, change, actor, reason)
SELECT worker_id, 'resumed', $2, $3 FROM asked
RETURNING id;

-- name: list_worker_changes
-- A page of the history of a worker, newest first, of the changes before $2 where that is given.
SELECT id, change, actor, reason, recorded_at
  FROM ledger.worker_changes
 WHERE worker_id = $1 AND ($2::bigint IS NULL OR id < $2)
 ORDER BY id DESC
 LIMIT $3;
