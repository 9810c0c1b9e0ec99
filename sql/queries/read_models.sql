-- name: find_timeline
-- The timeline of a task.
SELECT task_id, version, position, kind, queue, state, since, submitted_at, ready_at, started_at, finished_at,
       waiting_seconds, queued_seconds, running_seconds, total_seconds, attempts, releases, holds, lanes
  FROM projections.task_timeline
 WHERE task_id = $1;

-- name: read_queue_stats
-- What happened from $1 to before $2, by steps of $3 from $1 on, added up over queues and kinds.
SELECT date_bin($3::interval, minute, $1::timestamptz) AS at, outcome, bucket, sum(events)::bigint AS events
  FROM projections.queue_stats
 WHERE minute >= $1 AND minute < $2
   AND ($4::text IS NULL OR queue = $4)
   AND ($5::text IS NULL OR kind = $5)
 GROUP BY 1, 2, 3;

-- name: list_failure_groups
-- A page of what goes wrong, the latest first, below the last one of the page before.
SELECT group_id, error_type, message, frame, attempts, final, first_seen, last_seen, last_position, tasks, kinds, queues
  FROM projections.failure_groups
 WHERE ($1::text IS NULL OR kinds @> ARRAY[$1])
   AND ($2::text IS NULL OR queues @> ARRAY[$2])
   AND last_seen >= $3
   AND (last_seen, group_id) < ($4::timestamptz, $5::uuid)
 ORDER BY last_seen DESC, group_id DESC
 LIMIT $6;

-- name: find_failure_group
-- One kind of trouble.
SELECT group_id, error_type, message, frame, attempts, final, first_seen, last_seen, last_position, tasks, kinds, queues
  FROM projections.failure_groups
 WHERE group_id = $1;

-- name: read_failure_trend
-- The last hours in which something of this kind failed.
SELECT hour, attempts, final
  FROM projections.failure_trend
 WHERE group_id = $1
 ORDER BY hour DESC
 LIMIT $2;
