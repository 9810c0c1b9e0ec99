-- name: is_settled
-- Whether no event can still appear that was recorded at this moment or before: no transaction that appended is open,
-- or all that are open drew their positions later. A position is drawn right before its event's time is taken, so the
-- minute is far more than lies between the two. Ask it under READ COMMITTED, before the snapshot.
SELECT NOT EXISTS (SELECT FROM pg_locks
                    WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >> 16 = 19527
                      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
       OR coalesce($1 < (SELECT recorded_at - interval '1 minute'
                           FROM ledger.events
                          WHERE position <= (SELECT ledger.safe_position())
                          ORDER BY position DESC
                          LIMIT 1), false);

-- name: hold_read_model
-- First in its transaction, before the snapshot: no rebuild takes the table away, or puts another in its place.
LOCK TABLE projections.task_status IN ACCESS SHARE MODE;

-- name: bound_past
-- For this transaction: a question about the past ends in time, and is planned for its moment. Whoever asks gets the
-- memory to remember every task that changed since.
SELECT set_config('statement_timeout', $1, true), set_config('plan_cache_mode', 'force_custom_plan', true),
       set_config('work_mem', '128MB', true);

-- name: position_of_moment
-- The position that parts the log at a moment: bisects by position, as times follow the order of positions but for
-- what lies between the drawing of a position and the taking of its time. Ask for a minute before a moment, and
-- nothing up to the answer was recorded after it; ask for a minute after, and nothing beyond was recorded before.
WITH RECURSIVE bisection (low, high) AS (
    SELECT 0::bigint, coalesce(max(position), 0) FROM ledger.events
     UNION ALL
    SELECT CASE WHEN is_before THEN middle ELSE low END, CASE WHEN is_before THEN high ELSE middle - 1 END
      FROM (SELECT low, high, (low + high + 1) / 2 AS middle FROM bisection WHERE low < high) AS halves
     CROSS JOIN LATERAL (
           SELECT coalesce((SELECT recorded_at <= $1::timestamptz
                              FROM ledger.events
                             WHERE position <= middle
                             ORDER BY position DESC
                             LIMIT 1), true) AS is_before) AS probe
)
SELECT max(low) FROM bisection;

-- name: as_it_was
-- The beginning of a question about a moment $2: which tasks are not what the read model says any more, and how they
-- stood then. Changed are those with an event recorded since, and those that the read model, which is at $3, has not
-- folded up to their end; nothing of that stands at or below $1. `beyond` is a task's first version after the moment.
WITH changed AS MATERIALIZED (
    SELECT task_id, coalesce(min(version) FILTER (WHERE recorded_at > $2), 2147483647) AS beyond
      FROM ledger.events
     WHERE position > $1 AND (recorded_at > $2 OR position > $3) AND task_id < $4
     GROUP BY task_id
), was AS (
    SELECT changed.task_id, last.kind, last.queue,
           CASE last.type
               WHEN 'task.started' THEN 'RUNNING'
               WHEN 'task.completed' THEN 'COMPLETED'
               WHEN 'task.cancelled' THEN 'CANCELLED'
               WHEN 'task.failed' THEN CASE WHEN last.data ->> 'retry_at' IS NULL THEN 'FAILED' ELSE 'PENDING' END
               ELSE 'PENDING'
           END AS status
      FROM changed
     CROSS JOIN LATERAL (
           SELECT kind, queue, type, data
             FROM ledger.events AS event
            WHERE event.task_id = changed.task_id AND event.version < changed.beyond
              AND type NOT IN ('task.progressed', 'task.cancel_requested', 'task.discarded', 'task.erased')
            ORDER BY event.version DESC
            LIMIT 1) AS last
     WHERE changed.beyond > 1
)

-- name: count_tasks_as_it_was
-- How many tasks had each status, of each queue and kind: what the read model says of those that have not changed
-- since, and the others as they were.
SELECT status, queue, kind, sum(tasks)::bigint AS tasks
  FROM (SELECT status, queue, kind, count(*) AS tasks
          FROM projections.task_status AS task
         WHERE updated_at <= $2 AND NOT EXISTS (SELECT FROM changed WHERE changed.task_id = task.task_id)
         GROUP BY status, queue, kind
         UNION ALL
        SELECT status, queue, kind, count(*) FROM was GROUP BY status, queue, kind) AS counted
 GROUP BY status, queue, kind;

-- name: list_tasks_as_it_was
-- A page of tasks, newest first: the rows of those that have not changed since, and the ids of those that have.
SELECT page.task_id, page.is_changed, task.version, task.position, task.status, task.kind, task.queue,
       task.priority, task.tags, task.error - 'traceback' AS error, task.cause, task.attempt, task.failures,
       task.losses, task.max_attempts, task.timeout_s, task.worker_id, task.ready, task.release_at, task.ready_at,
       task.progress, task.progress_message, task.cancel_requested, task.parent, task.key, task.unique_key,
       task.after, task.on_parent_failure, task.tenant, task.hold, task.discarded, task.correlation_id,
       task.created_at, task.started_at, task.finished_at, task.updated_at
  FROM ((SELECT task_id, false AS is_changed
           FROM projections.task_status
          WHERE ($5::text[] IS NULL OR status = ANY ($5))
            AND ($6::text IS NULL OR kind = $6)
            AND ($7::text IS NULL OR queue = $7)
            AND ($8::text[] IS NULL OR tags @> $8)
            AND created_at >= $9 AND created_at < $10
            AND task_id >= ledger.least_task_id($9 - interval '1 day') AND task_id < $4
            AND task_id NOT IN (SELECT task_id FROM changed)
          ORDER BY task_id DESC
          LIMIT $11)
         UNION ALL
        (SELECT was.task_id, true
           FROM was
          CROSS JOIN LATERAL (
                SELECT recorded_at AS created_at, data -> 'tags' AS tags
                  FROM ledger.events AS event
                 WHERE event.task_id = was.task_id AND event.version = 1
                 LIMIT 1) AS submitted  -- LIMIT 1: looked up one by one, as far as the page goes
          WHERE ($5::text[] IS NULL OR was.status = ANY ($5))
            AND ($6::text IS NULL OR was.kind = $6)
            AND ($7::text IS NULL OR was.queue = $7)
            AND ($8::text[] IS NULL OR submitted.tags @> to_jsonb($8))
            AND submitted.created_at >= $9 AND submitted.created_at < $10
          ORDER BY was.task_id DESC
          LIMIT $11)
         ORDER BY task_id DESC
         LIMIT $11) AS page
  LEFT JOIN projections.task_status AS task ON task.task_id = page.task_id AND NOT page.is_changed
 ORDER BY page.task_id DESC;

-- name: moves_between
-- How many tasks stood how after $3 and at $4, of those with an event recorded in between, by queue and kind; all of
-- that stands between the positions $1 and $2. Whoever had no event yet had no status. What a task came to is told by
-- the last of its events that moves it, here by the greatest version with the status beside it; only of those that
-- were there before is looked up what they were.
WITH touched AS MATERIALIZED (
    SELECT task_id, kind, queue, min(version) AS first,
           (ARRAY['RUNNING', 'COMPLETED', 'CANCELLED', 'FAILED', 'PENDING'])[
               max(version * 8::bigint
                   + CASE type
                         WHEN 'task.started' THEN 1
                         WHEN 'task.completed' THEN 2
                         WHEN 'task.cancelled' THEN 3
                         WHEN 'task.failed' THEN CASE WHEN data ->> 'retry_at' IS NULL THEN 4 ELSE 5 END
                         ELSE 5
                     END)
                   FILTER (WHERE type NOT IN ('task.progressed', 'task.cancel_requested', 'task.discarded',
                                              'task.erased')) % 8
           ] AS became
      FROM ledger.events
     WHERE position > $1 AND position <= $2 AND recorded_at > $3 AND recorded_at <= $4
     GROUP BY task_id, kind, queue
)
SELECT last.was, coalesce(touched.became, last.was) AS became, touched.queue, touched.kind, count(*) AS tasks
  FROM touched
  LEFT JOIN LATERAL (
       SELECT CASE type
                  WHEN 'task.started' THEN 'RUNNING'
                  WHEN 'task.completed' THEN 'COMPLETED'
                  WHEN 'task.cancelled' THEN 'CANCELLED'
                  WHEN 'task.failed' THEN CASE WHEN data ->> 'retry_at' IS NULL THEN 'FAILED' ELSE 'PENDING' END
                  ELSE 'PENDING'
              END AS was
         FROM ledger.events AS event
        WHERE event.task_id = touched.task_id AND event.version < touched.first
          AND type NOT IN ('task.progressed', 'task.cancel_requested', 'task.discarded', 'task.erased')
        ORDER BY event.version DESC
        LIMIT 1) AS last ON touched.first > 1
 GROUP BY 1, 2, 3, 4;
