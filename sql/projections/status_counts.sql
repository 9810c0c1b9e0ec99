-- How the number of tasks with a status changed along the log: one row for 16,384 positions, queue, kind and status. So
-- how many tasks there were by a position is a sum of whole rows, and what a few thousand events add to it. Rows go by
-- positions and not by time, so that none stands for more events than another, however fast they came.

-- part: table
-- The rows of the end of the log are counted up a few times a second and touch no index: room on the page for them.
-- `upto` is the last position that a row stands for; `tasks` is negative where more tasks left the status than came.
CREATE TABLE status_counts (
    upto   bigint           NOT NULL,
    queue  text COLLATE "C" NOT NULL,
    kind   text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    tasks  bigint           NOT NULL,
    PRIMARY KEY (upto, queue, kind, status)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- part: changes
-- By how many tasks each event of `batch` changes the statuses: one comes to the status after it, and leaves the one
-- before. What that was is told by the event before in the batch, or by what the aggregate permits; only where it
-- permits several (`is_open`) it is looked up in the ledger, where it never changes. So what an event adds does not
-- depend on its batch.
, moves AS (
    SELECT task_id, version, position, type, queue COLLATE "C" AS queue, kind COLLATE "C" AS kind, is_open, became,
           lag(became) OVER (PARTITION BY task_id ORDER BY version) AS before
      FROM (SELECT task_id, version, position, type, queue, kind,
                   type IN ('task.cancelled', 'task.retried')
                       OR (type = 'task.failed' AND (data ->> 'cause' = 'parent') IS NOT FALSE) AS is_open,
                   CASE type
                       WHEN 'task.started' THEN 'RUNNING'
                       WHEN 'task.completed' THEN 'COMPLETED'
                       WHEN 'task.cancelled' THEN 'CANCELLED'
                       WHEN 'task.failed' THEN CASE WHEN data ->> 'retry_at' IS NULL THEN 'FAILED' ELSE 'PENDING' END
                       ELSE 'PENDING'
                   END AS became
              FROM batch
             WHERE type NOT IN ('task.progressed', 'task.cancel_requested', 'task.discarded', 'task.erased')) AS moving
), stood AS (
    SELECT position, queue, kind, became,
           CASE
               WHEN before IS NOT NULL OR version = 1 THEN before
               WHEN is_open THEN (
                   SELECT CASE event.type
                              WHEN 'task.started' THEN 'RUNNING'
                              WHEN 'task.completed' THEN 'COMPLETED'
                              WHEN 'task.cancelled' THEN 'CANCELLED'
                              WHEN 'task.failed' THEN
                                  CASE WHEN event.data ->> 'retry_at' IS NULL THEN 'FAILED' ELSE 'PENDING' END
                              ELSE 'PENDING'
                          END
                     FROM ledger.events AS event
                    WHERE event.task_id = moves.task_id AND event.version < moves.version
                      AND event.type NOT IN ('task.progressed', 'task.cancel_requested', 'task.discarded',
                                             'task.erased')
                    ORDER BY event.version DESC
                    LIMIT 1)
               WHEN type IN ('task.completed', 'task.failed') THEN 'RUNNING'
               ELSE 'PENDING'
           END AS was
      FROM moves
     OFFSET 0  -- `was` is worked out once, not wherever it is used below
), changes AS (
    SELECT position, queue, kind, status COLLATE "C" AS status, tasks
      FROM stood
     CROSS JOIN LATERAL (VALUES (became, 1), (was, -1)) AS change (status, tasks)
     WHERE was IS DISTINCT FROM became AND status IS NOT NULL
)

-- part: fold
-- Rows are written in the order of their key, after all of them are known: sessions side by side cannot deadlock, and
-- hold each other up only while they write.
INSERT INTO status_counts AS kept (upto, queue, kind, status, tasks)
SELECT (position / 16384 + 1) * 16384 - 1 AS upto, queue, kind, status, sum(tasks)
  FROM changes
 GROUP BY 1, queue, kind, status
 ORDER BY 1, queue, kind, status
ON CONFLICT (upto, queue, kind, status) DO UPDATE SET tasks = kept.tasks + excluded.tasks;

-- part: differences
-- What differs between the fold in the temporary table and the live one, at most $1.
SELECT concat_ws(' ', coalesce(expected.upto, found.upto), coalesce(expected.queue, found.queue),
                 coalesce(expected.kind, found.kind), coalesce(expected.status, found.status)) AS key,
       'tasks' AS name, expected.tasks::text AS expected, found.tasks::text AS found
  FROM pg_temp.status_counts AS expected
  FULL JOIN projections.status_counts AS found
         ON found.upto = expected.upto AND found.queue = expected.queue AND found.kind = expected.kind
        AND found.status = expected.status
 WHERE expected.tasks IS DISTINCT FROM found.tasks
 ORDER BY key
 LIMIT $1;
