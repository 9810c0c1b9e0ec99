-- name: queue_policies
-- What is set for every queue.
SELECT name, paused_at, concurrency_max, key_concurrency_max, rate_max, rate_seconds, key_rate_max, key_rate_seconds,
       fair, weights
  FROM ledger.queues;

-- name: lock_queue
-- The policy of one queue, and how far its turns have come; whoever holds this lock lets tasks through alone.
SELECT name, paused_at, concurrency_max, key_concurrency_max, rate_max, rate_seconds, key_rate_max, key_rate_seconds,
       fair, weights, virtual_time
  FROM ledger.queues
 WHERE name = $1
   FOR UPDATE;

-- name: held_queues
-- The queues that hold tasks back: one look into the index for each, however many tasks they hold.
WITH RECURSIVE held AS (
    (SELECT queue
       FROM projections.task_status
      WHERE hold IN ('paused', 'limit')
      ORDER BY queue
      LIMIT 1)
    UNION ALL
    SELECT (SELECT status.queue
              FROM projections.task_status AS status
             WHERE status.hold IN ('paused', 'limit') AND status.queue > held.queue
             ORDER BY status.queue
             LIMIT 1)
      FROM held
     WHERE held.queue IS NOT NULL
)
SELECT queue FROM held WHERE queue IS NOT NULL;

-- name: held_tasks
-- A page of what a queue holds back, the most urgent and oldest first; what a permit let through already is left out.
SELECT task_id, version, 9 - priority AS rank, tenant, key
  FROM projections.task_status AS status
 WHERE hold IN ('paused', 'limit') AND queue = $1 AND (9 - priority, task_id) > ($2::integer, $3::uuid)
   AND NOT EXISTS (SELECT FROM ledger.permits AS permit
                    WHERE permit.task_id = status.task_id AND permit.version > status.version)
 ORDER BY 9 - priority, task_id
 LIMIT $4;

-- name: held_groups
-- The tenants and keys from ($2, $3) on that a queue holds tasks of: one look into the index for each.
WITH RECURSIVE held AS (
    (SELECT coalesce(tenant, '') AS tenant, coalesce(key, '') AS key
       FROM projections.task_status
      WHERE hold IN ('paused', 'limit') AND queue = $1
        AND (coalesce(tenant, ''), coalesce(key, '')) >= ($2::text, $3::text)
      ORDER BY coalesce(tenant, ''), coalesce(key, '')
      LIMIT 1)
    UNION ALL
    SELECT beyond.tenant, beyond.key
      FROM held
     CROSS JOIN LATERAL (
           SELECT coalesce(status.tenant, '') AS tenant, coalesce(status.key, '') AS key
             FROM projections.task_status AS status
            WHERE status.hold IN ('paused', 'limit') AND status.queue = $1
              AND (coalesce(status.tenant, ''), coalesce(status.key, '')) > (held.tenant, held.key)
            ORDER BY coalesce(status.tenant, ''), coalesce(status.key, '')
            LIMIT 1) AS beyond
)
SELECT tenant, key FROM held LIMIT $4;

-- name: held_tasks_of_groups
-- The first $4 tasks of each of these tenants and keys.
SELECT status.task_id, status.version, status.rank, status.tenant, status.key
  FROM unnest($2::text[], $3::text[]) AS held (tenant, key)
 CROSS JOIN LATERAL (
       SELECT task_id, version, 9 - priority AS rank, tenant, key
         FROM projections.task_status AS one
        WHERE hold IN ('paused', 'limit') AND queue = $1
          AND coalesce(one.tenant, '') = held.tenant AND coalesce(one.key, '') = held.key
          AND NOT EXISTS (SELECT FROM ledger.permits AS permit
                           WHERE permit.task_id = one.task_id AND permit.version > one.version)
        ORDER BY 9 - priority, task_id
        LIMIT $4) AS status;

-- name: follow_permits
-- What became of the tasks that were let through: their streams say when they started, and that the attempt is over.
UPDATE ledger.permits AS permit
   SET started_at = seen.started_at, ended_at = seen.ended_at
  FROM ledger.permits AS live
 CROSS JOIN LATERAL (
       SELECT min(recorded_at) FILTER (WHERE type = 'task.started') AS started_at,
              min(recorded_at) FILTER (WHERE type IN ('task.completed', 'task.failed', 'task.cancelled', 'task.held'))
                  AS ended_at
         FROM ledger.events AS event
        WHERE event.task_id = live.task_id AND event.version > live.version) AS seen
 WHERE live.queue = $1 AND live.ended_at IS NULL
   AND permit.task_id = live.task_id AND permit.version = live.version
   AND (seen.started_at, seen.ended_at) IS DISTINCT FROM (live.started_at, live.ended_at);

-- name: drop_spent_permits
-- Permits that count for nothing any more: their attempt is over, its start lies before the longest window $2, and
-- the read model knows that their tasks are held no longer.
DELETE FROM ledger.permits AS permit
 WHERE queue = $1 AND ended_at IS NOT NULL
   AND (started_at IS NULL OR started_at <= statement_timestamp() - make_interval(secs => $2::double precision))
   AND NOT EXISTS (SELECT FROM projections.task_status AS status
                    WHERE status.task_id = permit.task_id AND status.version < permit.version);

-- name: queues_with_permits
-- For tidying up.
SELECT DISTINCT queue FROM ledger.permits;

-- name: permits_used
-- How many of a queue's tasks are let through and unfinished, how many of those have not started, how many count for
-- the rate in the window $2, and how many run that started before every worker knew of the limit.
SELECT count(*) FILTER (WHERE ended_at IS NULL) AS live,
       count(*) FILTER (WHERE ended_at IS NULL AND started_at IS NULL) AS unstarted,
       count(*) FILTER (WHERE (ended_at IS NULL AND started_at IS NULL)
                           OR started_at > statement_timestamp() - make_interval(secs => $2::double precision))
           AS in_window,
       (SELECT count(*)
          FROM projections.task_status AS status
         WHERE status.status = 'RUNNING' AND status.queue = $1
           AND status.started_at < (SELECT updated_at + interval '5 seconds' FROM ledger.queues WHERE name = $1)
           AND NOT EXISTS (SELECT FROM ledger.permits AS permit
                            WHERE permit.task_id = status.task_id AND permit.ended_at IS NULL)) AS unpermitted
  FROM ledger.permits
 WHERE queue = $1;

-- name: permits_used_by_key
-- The same for some keys of a queue.
SELECT key,
       count(*) FILTER (WHERE ended_at IS NULL) AS live,
       count(*) FILTER (WHERE (ended_at IS NULL AND started_at IS NULL)
                           OR started_at > statement_timestamp() - make_interval(secs => $3::double precision))
           AS in_window
  FROM ledger.permits
 WHERE queue = $1 AND key = ANY ($2::text[])
 GROUP BY key;

-- name: tenant_shares
-- How much of its share each of these tenants has used.
SELECT tenant, finish_time FROM ledger.tenant_shares WHERE queue = $1 AND tenant = ANY ($2::text[]);

-- name: insert_permits
-- Written in the transaction of the releases.
INSERT INTO ledger.permits (task_id, version, queue, key)
SELECT permit.task_id, permit.version, $1, permit.key
  FROM unnest($2::uuid[], $3::integer[], $4::text[]) AS permit (task_id, version, key);

-- name: set_tenant_shares
-- What the tenants have used of their shares after a round.
INSERT INTO ledger.tenant_shares (queue, tenant, finish_time)
SELECT $1, share.tenant, share.finish_time
  FROM unnest($2::text[], $3::double precision[]) AS share (tenant, finish_time)
ON CONFLICT (queue, tenant) DO UPDATE SET finish_time = excluded.finish_time;

-- name: set_virtual_time
-- How far a queue's turns have come.
UPDATE ledger.queues SET virtual_time = $2 WHERE name = $1;

-- name: forget_tenant_shares
-- A tenant that the turns have passed begins where they are, so its row says nothing.
DELETE FROM ledger.tenant_shares AS share
 USING ledger.queues AS queue
 WHERE queue.name = share.queue AND share.finish_time <= queue.virtual_time;
