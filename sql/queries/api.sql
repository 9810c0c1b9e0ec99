-- name: find_tasks
-- Everything that the read model knows of some tasks.
SELECT task_id, version, position, status, kind, queue, priority, tags, error, cause, attempt, failures, losses,
       max_attempts, timeout_s, worker_id, ready, release_at, ready_at, progress, progress_message,
       cancel_requested, parent, key, unique_key, after, on_parent_failure, tenant, hold,
       discarded, correlation_id, created_at, started_at, finished_at, updated_at, input, result
  FROM projections.task_status
 WHERE task_id = ANY ($1::uuid[]);

-- name: list_tasks
-- A page of tasks, newest first, below the last one of the page before; without what can be a megabyte each.
-- Task ids are in the order of their time, so the key serves the order and, within a day, the interval as well:
-- the id's time is the clock of whoever submitted, created_at is the database's.
SELECT task_id, version, position, status, kind, queue, priority, tags, error - 'traceback' AS error, cause, attempt,
       failures, losses, max_attempts, timeout_s, worker_id, ready, release_at, ready_at, progress,
       progress_message, cancel_requested, parent, key, unique_key, after, on_parent_failure, tenant, hold,
       discarded, correlation_id, created_at, started_at, finished_at, updated_at
  FROM projections.task_status
 WHERE ($1::text[] IS NULL OR status = ANY ($1))
   AND ($2::text IS NULL OR kind = $2)
   AND ($3::text IS NULL OR queue = $3)
   AND ($4::text[] IS NULL OR tags @> $4)
   AND created_at >= $5 AND task_id >= ledger.least_task_id($5 - interval '1 day')
   AND created_at < $6 AND task_id < ledger.least_task_id($6 + interval '1 day')
   AND task_id < $7
 ORDER BY task_id DESC
 LIMIT $8;

-- name: list_checkpoints
-- How far every reader of the log has come.
SELECT name, position, updated_at FROM ledger.readers WHERE name NOT LIKE '%:next:%' ORDER BY name;

-- name: count_events_after
-- How many events lie behind a position, counted up to $2 of them.
SELECT count(*) FROM (SELECT FROM ledger.events WHERE position > $1 LIMIT $2) AS behind;
