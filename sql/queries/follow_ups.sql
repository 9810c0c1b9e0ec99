-- name: note_follow_ups
-- Keeps who waits for whom, of the tasks that were submitted in a stretch of the log.
INSERT INTO ledger.follow_ups (parent_id, task_id)
SELECT parent::uuid, event.task_id
  FROM ledger.events AS event
 CROSS JOIN LATERAL jsonb_array_elements_text(event.data -> 'after') AS parents (parent)
 WHERE event.position > $1 AND event.position <= $2 AND event.type = 'task.submitted' AND event.data ? 'after'
 ORDER BY 1, 2
ON CONFLICT DO NOTHING;

-- name: stirred_follow_ups
-- Whom a stretch of the log gives a reason to look at: those submitted in it, those of whom a task that they wait for
-- ended in it without having completed, and those of whom one completed, if it was the last to.
SELECT stirred.task_id
  FROM (SELECT task_id, bool_or(at_once) AS at_once
          FROM (SELECT follow_up.task_id, event.type <> 'task.completed' AS at_once
                  FROM ledger.events AS event
                  JOIN ledger.follow_ups AS follow_up ON follow_up.parent_id = event.task_id
                 WHERE event.position > $1 AND event.position <= $2
                   AND (event.type IN ('task.completed', 'task.cancelled')
                        OR event.type = 'task.failed' AND event.data ->> 'retry_at' IS NULL)
                 UNION ALL
                SELECT event.task_id, true
                  FROM ledger.events AS event
                 WHERE event.position > $1 AND event.position <= $2
                   AND event.type = 'task.submitted' AND event.data ? 'after') AS reasons
         GROUP BY task_id) AS stirred
 WHERE stirred.at_once
    OR NOT EXISTS (
       SELECT FROM ledger.follow_ups AS other
        CROSS JOIN LATERAL (
              SELECT type FROM ledger.events
               WHERE task_id = other.parent_id
                 AND type NOT IN ('task.progressed', 'task.cancel_requested', 'task.discarded')
               ORDER BY version DESC
               LIMIT 1) AS last
        WHERE other.task_id = stirred.task_id AND last.type <> 'task.completed')
 ORDER BY stirred.task_id;

-- name: due_follow_ups
-- A page of those that are to be looked at again by now, the longest due first.
SELECT task_id
  FROM ledger.follow_ups
 WHERE look_again_at <= statement_timestamp()
 GROUP BY task_id
 ORDER BY min(look_again_at), task_id
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
          AND type NOT IN ('task.progressed', 'task.cancel_requested', 'task.discarded')
        ORDER BY version DESC
        LIMIT 1) AS last;

-- name: remind_follow_ups
-- Sets when these are to be looked at again; NULL where the log will say.
UPDATE ledger.follow_ups
   SET look_again_at = reminder.look_again_at
  FROM unnest($1::uuid[], $2::timestamptz[]) AS reminder (task_id, look_again_at)
 WHERE follow_ups.task_id = reminder.task_id
   AND follow_ups.look_again_at IS DISTINCT FROM reminder.look_again_at;

-- name: forget_follow_ups
-- These wait no longer.
DELETE FROM ledger.follow_ups WHERE task_id = ANY ($1::uuid[]);
