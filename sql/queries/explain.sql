-- name: live_workers_of_queue
-- The workers that serve a queue and have beaten within the last $2 seconds.
SELECT worker_id::text AS worker_id, name, beat_at, running, stopped_at
  FROM ledger.workers
 WHERE stopped_at IS NULL AND $1::text = ANY (queues)
   AND beat_at > statement_timestamp() - make_interval(secs => $2::double precision)
 ORDER BY worker_id;

-- name: worker_by_id
-- One worker, dead or alive; a task may name one that never enrolled.
SELECT worker_id::text AS worker_id, name, beat_at, running, stopped_at
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


-- name: last_queue_pause
-- Who paused a queue last, and why.
SELECT actor, reason FROM ledger.queue_changes WHERE queue = $1 AND change = 'paused' ORDER BY id DESC LIMIT 1;

-- name: permits_in_use
-- Of a queue, or of its key $2: how many permits have not ended, how many count for a rate of $3 starts in $4 seconds,
-- and when the next of them leaves that window, where it is full.
WITH permits AS (
    SELECT started_at, ended_at FROM ledger.permits WHERE queue = $1 AND ($2::text IS NULL OR key = $2)
), starts AS (
    SELECT started_at
      FROM permits
     WHERE (started_at IS NULL AND ended_at IS NULL)
        OR started_at > statement_timestamp() - make_interval(secs => $4::double precision)
)
SELECT (SELECT count(*) FROM permits WHERE ended_at IS NULL) AS in_flight,
       (SELECT count(*) FROM starts) AS starts,
       (SELECT started_at + make_interval(secs => $4::double precision)
          FROM starts
         WHERE started_at IS NOT NULL AND (SELECT count(*) FROM starts) >= $3::integer
         ORDER BY started_at
        OFFSET greatest((SELECT count(*) FROM starts) - $3::integer, 0)
         LIMIT 1) AS next_start_at;

-- name: held_before
-- How many tasks that the limits of the queue $1 hold back go before the task $3 of the priority $2, counted up to $6;
-- where tenants take turns ($4), only those of its own tenant $5.
SELECT count(*) AS ahead
  FROM (SELECT FROM projections.task_status
         WHERE status = 'PENDING' AND hold = 'limit' AND queue = $1
           AND (priority > $2::integer OR (priority = $2::integer AND task_id < $3))
           AND (NOT $4::boolean OR tenant IS NOT DISTINCT FROM $5::text)
         LIMIT $6::integer) AS before;

-- name: tenants_before
-- The tenants with tasks that the limits of the queue $1 hold back whose turn comes before that of the tenant $2, up
-- to $3 of them: those that have used less of their share.
SELECT waiting.tenant
  FROM (SELECT DISTINCT coalesce(tenant, '') AS tenant
          FROM projections.task_status
         WHERE status = 'PENDING' AND hold = 'limit' AND queue = $1) AS waiting
  JOIN ledger.queues AS queue ON queue.name = $1
  LEFT JOIN ledger.tenant_shares AS share ON share.queue = $1 AND share.tenant = waiting.tenant
  LEFT JOIN ledger.tenant_shares AS own ON own.queue = $1 AND own.tenant = $2::text
 WHERE waiting.tenant <> $2::text
   AND greatest(share.finish_time, queue.virtual_time) < greatest(own.finish_time, queue.virtual_time)
 ORDER BY greatest(share.finish_time, queue.virtual_time), waiting.tenant
 LIMIT $3::integer;
