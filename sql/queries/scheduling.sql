-- name: due_tasks
-- A page of pending tasks whose time has come, and that nothing else holds back, the longest due first.
SELECT task_id, version, release_at
  FROM projections.task_status
 WHERE status = 'PENDING' AND hold IS NULL AND release_at <= statement_timestamp()
   AND (release_at, task_id) > ($1::timestamptz, $2::uuid)
 ORDER BY release_at, task_id
 LIMIT $3;

-- name: bound_lock_wait
-- For this transaction: rather give up than queue for a lock while every append queues behind it.
SELECT set_config('lock_timeout', '2000', true);

-- name: running_fronts
-- How far each queue and priority has come: when the youngest of its running tasks was submitted.
SELECT queue, priority, max(created_at) AS submitted_at
  FROM projections.task_status
 WHERE status = 'RUNNING'
 GROUP BY queue, priority;

-- name: overtaken_tasks
-- Tasks ready for longer than $5, published, and ready since before the front of their queue and band, oldest first.
-- The workers of a paused queue would only hold them back.
SELECT status.task_id, status.version, status.queue, status.priority, status.attempt, status.ready_at
  FROM unnest($1::text[], $2::integer[], $3::integer[], $4::timestamptz[]) AS band (queue, least, most, front)
 CROSS JOIN LATERAL generate_series(band.least, band.most) AS of_band (priority)
 CROSS JOIN LATERAL (
       SELECT task_id, version, queue, priority, attempt, ready_at
         FROM projections.task_status
        WHERE ready AND queue = band.queue AND priority = of_band.priority::smallint
          AND ready_at < least(band.front, statement_timestamp() - $5::interval)
          AND position <= (SELECT position FROM ledger.readers WHERE name = 'relay')
        ORDER BY ready_at
        LIMIT $6) AS status
 WHERE NOT EXISTS (SELECT FROM ledger.queues AS queue WHERE queue.name = band.queue AND queue.paused_at IS NOT NULL)
 ORDER BY status.ready_at, status.task_id
 LIMIT $6;

-- name: newest_overdue_tasks
-- Of each queue that a worker serves (a beat within $2, not drained) and that is not paused, and each priority: the
-- task that became ready last among those ready for longer than $1 and published.
SELECT status.task_id, status.version, status.queue, status.priority, status.attempt, status.ready_at
  FROM (SELECT DISTINCT unnest(queues) AS queue
          FROM ledger.workers
         WHERE stopped_at IS NULL AND draining_since IS NULL
           AND beat_at > statement_timestamp() - $2::interval) AS served
 CROSS JOIN LATERAL generate_series(0, 9) AS of_queue (priority)
 CROSS JOIN LATERAL (
       SELECT task_id, version, queue, priority, attempt, ready_at
         FROM projections.task_status
        WHERE ready AND queue = served.queue AND priority = of_queue.priority::smallint
          AND ready_at < statement_timestamp() - $1::interval
          AND position <= (SELECT position FROM ledger.readers WHERE name = 'relay')
        ORDER BY ready_at DESC
        LIMIT 1) AS status
 WHERE NOT EXISTS (SELECT FROM ledger.queues AS paused WHERE paused.name = served.queue AND paused.paused_at IS NOT NULL);

-- name: probe_fronts
-- Of these tasks, those that were started since they had had so many attempts, with the moment of the event whose
-- message their worker followed: the work queue has handed out everything that became ready before it.
SELECT started.task_id, cause.recorded_at AS front
  FROM unnest($1::uuid[], $2::integer[]) AS probe (task_id, attempt)
  JOIN ledger.events AS started
    ON started.task_id = probe.task_id AND started.type = 'task.started'
   AND (started.data ->> 'attempt')::integer = probe.attempt + 1
  JOIN ledger.events AS cause
    ON cause.task_id = started.task_id AND started.causation_id = cause.task_id::text || ':' || cause.version;

-- name: ready_tasks
-- A page of all tasks that are ready and whose message was published.
SELECT task_id, version
  FROM projections.task_status
 WHERE ready AND task_id > $1 AND position <= $2
 ORDER BY task_id
 LIMIT $3;

-- name: tasks_after_read_model
-- A page of the tasks with events that the read model has not seen yet, up to a position.
SELECT DISTINCT task_id
  FROM ledger.events
 WHERE position > (SELECT coalesce(max(position), 0) FROM ledger.checkpoints WHERE name = 'projection:task_status')
   AND position <= $2
   AND task_id > $1
 ORDER BY task_id
 LIMIT $3;
