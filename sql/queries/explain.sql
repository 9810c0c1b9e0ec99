-- name: live_workers_of_queue
-- The workers that serve a queue and have beaten within the last $2 seconds.
SELECT worker_id::text AS worker_id, name, beat_at, running, capacity, stopped_at
  FROM ledger.workers
 WHERE stopped_at IS NULL AND $1::text = ANY (queues)
   AND beat_at > statement_timestamp() - make_interval(secs => $2::double precision)
 ORDER BY worker_id;

-- name: worker_by_id
-- One worker, dead or alive; a task may name one that never enrolled.
SELECT worker_id::text AS worker_id, name, beat_at, running, capacity, stopped_at
  FROM ledger.workers
 WHERE worker_id::text = $1::text;

-- name: standing_in_queue
-- Of a queue and its priorities $2 to $3: how many tasks became ready before $4, counted up to $5, and when the
-- youngest task that runs was submitted.
SELECT (SELECT count(*)
          FROM (SELECT FROM projections.task_status
                 WHERE ready AND queue = $1 AND priority BETWEEN $2::integer AND $3::integer
                   AND ready_at < $4::timestamptz
                 LIMIT $5::integer) AS before) AS ahead,
       (SELECT max(created_at)
          FROM projections.task_status
         WHERE status = 'RUNNING' AND queue = $1 AND priority BETWEEN $2::integer AND $3::integer) AS front;
