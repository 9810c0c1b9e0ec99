-- name: live_workers_by_queue
-- How many workers with a beat within the last $1 seconds serve each queue.
SELECT queue AS name, count(*) AS live_workers
  FROM ledger.workers AS worker
 CROSS JOIN LATERAL unnest(worker.queues) AS served (queue)
 WHERE stopped_at IS NULL AND beat_at > statement_timestamp() - make_interval(secs => $1::double precision)
 GROUP BY queue;

-- name: unfinished_by_queue
-- How many tasks of each queue are ready, wait and run; what is finished is not looked at, there may be millions.
SELECT queue AS name,
       count(*) FILTER (WHERE ready) AS ready,
       count(*) FILTER (WHERE status = 'PENDING' AND NOT ready) AS waiting,
       count(*) FILTER (WHERE status = 'RUNNING') AS running,
       min(ready_at) AS oldest_ready_at
  FROM projections.task_status
 WHERE status IN ('PENDING', 'RUNNING')
 GROUP BY queue;
