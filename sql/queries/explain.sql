-- name: live_workers_of_queue
-- The workers that serve a queue, are not drained and have beaten within the last $2 seconds.
SELECT worker_id::text AS worker_id, name, beat_at, running, capacity, stopped_at
  FROM ledger.workers
 WHERE stopped_at IS NULL AND draining_since IS NULL AND $1::text = ANY (queues)
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


-- name: last_queue_pause
-- Who paused a queue last, and why.
SELECT actor, reason FROM ledger.queue_changes WHERE queue = $1 AND change = 'paused' ORDER BY id DESC LIMIT 1;

-- name: next_start
-- When a full rate of $3 starts in $4 seconds, of a queue or of its key $2, has room again: when so many starts have
-- left the window that one fits; no row where that depends on starts to come.
SELECT started_at + make_interval(secs => $4::double precision) AS next_start_at
  FROM ledger.permits
 WHERE queue = $1 AND ($2::text IS NULL OR key = $2)
   AND started_at > statement_timestamp() - make_interval(secs => $4::double precision)
 ORDER BY started_at
OFFSET greatest($5::integer - $3::integer, 0)
 LIMIT 1;

-- name: held_before
-- How many tasks that the queue $1 holds back go before the task $3 of the priority $2, counted up to $6; where tenants
-- take turns ($4), only those of its own tenant $5.
SELECT count(*) AS ahead
  FROM (SELECT FROM projections.task_status
         WHERE hold IN ('paused', 'limit') AND queue = $1
           AND (9 - priority, task_id) < (9 - $2::integer, $3::uuid)
           AND (NOT $4::boolean OR coalesce(tenant, '') = $5::text)
         LIMIT $6::integer) AS before;

-- name: tenants_before
-- The tenants with tasks that the queue $1 holds back whose turn comes before that of the tenant $2, up to $3 of them:
-- those that have used less of their share, by name where that is equal (ledger/queues/admission.py has the rule).
SELECT waiting.tenant
  FROM (SELECT DISTINCT coalesce(tenant, '') AS tenant
          FROM projections.task_status
         WHERE hold IN ('paused', 'limit') AND queue = $1) AS waiting
  JOIN ledger.queues AS queue ON queue.name = $1
  LEFT JOIN ledger.tenant_shares AS share ON share.queue = $1 AND share.tenant = waiting.tenant
  LEFT JOIN ledger.tenant_shares AS own ON own.queue = $1 AND own.tenant = $2
 WHERE (greatest(share.finish_time, queue.virtual_time), waiting.tenant)
       < (greatest(own.finish_time, queue.virtual_time), $2::text COLLATE "C")
 ORDER BY greatest(share.finish_time, queue.virtual_time), waiting.tenant
 LIMIT $3::integer;

-- name: dead_message_of_task
-- The message that made a task ready with its event of version $2, if a worker refused it and nobody has acted on it.
SELECT letter_id::text AS letter_id, reason, collected_at
  FROM ledger.dead_letters AS letter
 WHERE task_id = $1 AND task_version = $2
   AND NOT EXISTS (SELECT FROM ledger.dead_letter_acts AS act WHERE act.letter_id = letter.letter_id)
 ORDER BY collected_at DESC
 LIMIT 1;
