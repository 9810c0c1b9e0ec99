-- name: begin_to_follow
-- How far the log has been followed; others wait for their turn. What a crash of the database takes back is done again.
SELECT position, set_config('synchronous_commit', 'off', true) FROM ledger.checkpoints WHERE name = $1 FOR UPDATE;

-- name: note_follow_ups
-- Keeps who waits for whom, of the tasks that were submitted in a stretch of the log, but for what had completed by
-- its end (one of the same batch may stand beyond it). CASE: only submissions are opened.
INSERT INTO ledger.follow_ups (parent_id, task_id)
SELECT parent::uuid, event.task_id
  FROM ledger.events AS event
 CROSS JOIN LATERAL jsonb_array_elements_text(event.data -> 'after') AS parents (parent)
  LEFT JOIN LATERAL (
       SELECT type FROM ledger.events
        WHERE task_id = parent::uuid AND position <= $2
          AND type NOT IN ('task.progressed', 'task.cancel_requested', 'task.discarded', 'task.erased')
        ORDER BY version DESC
        LIMIT 1) AS last ON true
 WHERE event.position > $1 AND event.position <= $2
   AND CASE event.type WHEN 'task.submitted' THEN event.data ? 'after' END
   AND last.type IS DISTINCT FROM 'task.completed'
ON CONFLICT DO NOTHING;

-- name: stirred_follow_ups
-- Takes the completed tasks of a stretch of the log off those that wait for them, and returns whom to look at: who
-- waits for nobody any more, and who waits for a task that ended otherwise. ARRAY: the index is used whatever the
-- planner thinks of the stretch.
WITH ended AS MATERIALIZED (
    SELECT task_id, type = 'task.completed' AS is_completed
      FROM ledger.events
     WHERE position > $1 AND position <= $2
       AND CASE type
               WHEN 'task.completed' THEN true
               WHEN 'task.cancelled' THEN true
               WHEN 'task.failed' THEN data ->> 'retry_at' IS NULL
           END
), freed AS (
    DELETE FROM ledger.follow_ups
     WHERE parent_id = ANY (ARRAY (SELECT task_id FROM ended WHERE is_completed))
    RETURNING task_id
), submitted AS MATERIALIZED (
    SELECT task_id
      FROM ledger.events
     WHERE position > $1 AND position <= $2
       AND CASE type WHEN 'task.submitted' THEN data ? 'after' END
)
SELECT task_id
  FROM freed
 WHERE NOT EXISTS (
       SELECT FROM ledger.follow_ups AS other
        WHERE other.task_id = freed.task_id
          AND other.parent_id NOT IN (SELECT task_id FROM ended WHERE is_completed))
 UNION
SELECT task_id
  FROM ledger.follow_ups
 WHERE parent_id = ANY (ARRAY (SELECT task_id FROM ended WHERE NOT is_completed))
 UNION
SELECT task_id
  FROM submitted
 WHERE NOT EXISTS (SELECT FROM ledger.follow_ups AS other WHERE other.task_id = submitted.task_id)
    OR EXISTS (
       SELECT FROM ledger.follow_ups AS other
        CROSS JOIN LATERAL (
              SELECT type, data FROM ledger.events
               WHERE task_id = other.parent_id
                 AND type NOT IN ('task.progressed', 'task.cancel_requested', 'task.discarded', 'task.erased')
               ORDER BY version DESC
               LIMIT 1) AS last
        WHERE other.task_id = submitted.task_id
          AND CASE last.type
                  WHEN 'task.cancelled' THEN true
                  WHEN 'task.failed' THEN last.data ->> 'retry_at' IS NULL
              END)
 ORDER BY task_id;

-- name: due_follow_ups
-- A page of those that are to be looked at again by now, the longest due first.
SELECT task_id
  FROM ledger.follow_up_times
 WHERE look_again_at <= statement_timestamp()
 ORDER BY look_again_at
 LIMIT $1;

-- name: standings_of_tasks
-- What the stream of each of these tasks says that its status is, and which of its events says so.
SELECT asked.task_id,
       CASE last.type
           WHEN 'task.started' THEN 'RUNNING'
           WHEN 'task.completed' THEN 'COMPLETED'
           WHEN 'task.cancelled' THEN 'CANCELLED'
           WHEN 'task.failed' THEN CASE WHEN last.data ->> 'retry_at' IS NULL THEN 'FAILED' ELSE 'PENDING' END
           ELSE 'PENDING'
       END AS status,
       last.version,
       last.position
  FROM unnest($1::uuid[]) AS asked (task_id)
 CROSS JOIN LATERAL (
       SELECT type, version, position, data FROM ledger.events
        WHERE task_id = asked.task_id
          AND type NOT IN ('task.progressed', 'task.cancel_requested', 'task.discarded', 'task.erased')
        ORDER BY version DESC
        LIMIT 1) AS last;

-- name: forget_follow_ups
-- These wait no longer, or what they wait for is kept anew.
DELETE FROM ledger.follow_ups WHERE task_id = ANY ($1::uuid[]);

-- name: keep_follow_ups
-- Of the second ones, each waits for the first one beside it.
INSERT INTO ledger.follow_ups (parent_id, task_id)
SELECT parent_id, task_id FROM unnest($1::uuid[], $2::uuid[]) AS follow_up (parent_id, task_id)
ON CONFLICT DO NOTHING;

-- name: forget_follow_up_times
-- These need not be looked at but for an event.
DELETE FROM ledger.follow_up_times WHERE task_id = ANY ($1::uuid[]);

-- name: keep_follow_up_times
-- When to look at each of these again.
INSERT INTO ledger.follow_up_times (task_id, look_again_at)
SELECT task_id, look_again_at FROM unnest($1::uuid[], $2::timestamptz[]) AS time (task_id, look_again_at)
ON CONFLICT (task_id) DO UPDATE SET look_again_at = excluded.look_again_at;
