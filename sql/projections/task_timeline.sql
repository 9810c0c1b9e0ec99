-- Where the time of a task went: one row each, with a lane for every attempt, so that its timeline can be drawn without
-- its events. Between two moves a task waits (pending, and something holds it back), is queued (ready), runs, or is
-- finished. api/timeline.py folds the same from a stream, and the tests hold both to each other.

-- part: table
-- A row is written anew with each batch that has a move of its task, and touches no index but its key.
CREATE TABLE task_timeline (
    task_id         uuid             PRIMARY KEY,
    version         integer          NOT NULL,
    position        bigint           NOT NULL,
    kind            text COLLATE "C" NOT NULL,
    queue           text COLLATE "C" NOT NULL,
    state           text COLLATE "C" NOT NULL,
    since           timestamptz      NOT NULL,
    submitted_at    timestamptz      NOT NULL,
    ready_at        timestamptz,
    started_at      timestamptz,
    finished_at     timestamptz,
    waiting_seconds double precision NOT NULL,
    queued_seconds  double precision NOT NULL,
    running_seconds double precision NOT NULL,
    total_seconds   double precision,
    attempts        integer          NOT NULL,
    releases        integer          NOT NULL,
    holds           integer          NOT NULL,
    lanes           jsonb            NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- Nobody searches by it, and it may be long.
ALTER TABLE task_timeline ALTER COLUMN lanes SET STATISTICS 0;

-- part: fold
-- The row is a function of the stream: what an earlier batch had of it is looked up in the ledger, where it never
-- changes, and a stream that begins in the batch is all there. Reports of progress are no moves, so they cost nothing.
-- The last 100 attempts have lanes.
, told AS (
    SELECT task_id, version, position, type, kind, queue, recorded_at, data
      FROM batch
     WHERE type IN ('task.submitted', 'task.released', 'task.held', 'task.started', 'task.completed', 'task.failed',
                    'task.cancelled', 'task.retried')
), moves AS (
    SELECT task_id, version, position, type, kind, queue, recorded_at, data
      FROM told
     UNION ALL
    SELECT begun.task_id, event.version, event.position, event.type, event.kind, event.queue, event.recorded_at, event.data
      FROM (SELECT task_id, min(version) AS version FROM told GROUP BY task_id HAVING min(version) > 1) AS begun
     CROSS JOIN LATERAL (
           SELECT version, position, type, kind, queue, recorded_at, data
             FROM ledger.events
            WHERE task_id = begun.task_id AND events.version < begun.version
              AND type IN ('task.submitted', 'task.released', 'task.held', 'task.started', 'task.completed',
                           'task.failed', 'task.cancelled', 'task.retried')
           OFFSET 0) AS event
), states AS (
    SELECT task_id, version, position, type, kind, queue, recorded_at,
           CASE type
               WHEN 'task.submitted' THEN CASE WHEN data ?| '{run_at,hold}' THEN 'waiting' ELSE 'queued' END
               WHEN 'task.released' THEN 'queued'
               WHEN 'task.retried' THEN 'queued'
               WHEN 'task.held' THEN 'waiting'
               WHEN 'task.started' THEN 'running'
               WHEN 'task.failed' THEN CASE WHEN data ->> 'retry_at' IS NULL THEN 'finished' ELSE 'waiting' END
               ELSE 'finished'
           END AS state,
           data ->> 'worker_id' AS worker_id,
           CASE type WHEN 'task.started' THEN (data ->> 'attempt')::integer END AS attempt,
           CASE
               WHEN type = 'task.failed' AND data ->> 'retry_at' IS NOT NULL THEN 'will_retry'
               WHEN type IN ('task.completed', 'task.failed', 'task.cancelled') THEN substr(type, 6)
           END AS outcome,
           data ->> 'cause' AS cause
      FROM moves
), spans AS (
    SELECT task_id, version, position, type, kind, queue, recorded_at, state, worker_id, attempt,
           lag(recorded_at) OVER stream AS before_at,
           lead(recorded_at) OVER stream AS until,
           lead(outcome) OVER stream AS outcome,
           lead(cause) OVER stream AS cause,
           max(attempt) OVER (PARTITION BY task_id) AS attempt_max
      FROM states
    WINDOW stream AS (PARTITION BY task_id ORDER BY version)
), news AS (
    SELECT task_id,
           max(version) AS version,
           max(position) AS position,
           min(kind) AS kind,
           min(queue) AS queue,
           max(state) FILTER (WHERE until IS NULL) AS state,
           max(recorded_at) FILTER (WHERE until IS NULL) AS since,
           min(recorded_at) FILTER (WHERE version = 1) AS submitted_at,
           (array_agg(recorded_at ORDER BY version) FILTER (WHERE state = 'queued'))[1] AS ready_at,
           (array_agg(recorded_at ORDER BY version) FILTER (WHERE state = 'running'))[1] AS started_at,
           sum(until - recorded_at) FILTER (WHERE state = 'waiting') AS waiting,
           sum(until - recorded_at) FILTER (WHERE state = 'queued') AS queued,
           sum(until - recorded_at) FILTER (WHERE state = 'running') AS running,
           count(*) FILTER (WHERE type = 'task.started') AS attempts,
           count(*) FILTER (WHERE type = 'task.released') AS releases,
           count(*) FILTER (WHERE type = 'task.held') AS holds,
           jsonb_agg(jsonb_build_object(
               'attempt', attempt,
               'worker', worker_id,
               'ready_at', to_char(before_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               'started_at', to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               'ended_at', to_char(until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
               'outcome', outcome,
               'cause', cause) ORDER BY version)
               FILTER (WHERE attempt > attempt_max - 100) AS lanes
      FROM spans
     GROUP BY task_id
)
INSERT INTO task_timeline AS kept (
    task_id, version, position, kind, queue, state, since, submitted_at, ready_at, started_at, finished_at,
    waiting_seconds, queued_seconds, running_seconds, total_seconds, attempts, releases, holds, lanes)
SELECT task_id, version, position, kind, queue, state, since, submitted_at, ready_at, started_at,
       CASE state WHEN 'finished' THEN since END,
       coalesce(extract(epoch FROM waiting), 0),
       coalesce(extract(epoch FROM queued), 0),
       coalesce(extract(epoch FROM running), 0),
       CASE state WHEN 'finished' THEN extract(epoch FROM since - submitted_at) END,
       attempts, releases, holds, coalesce(lanes, '[]')
  FROM news
ON CONFLICT (task_id) DO UPDATE SET
    version = excluded.version,
    position = excluded.position,
    state = excluded.state,
    since = excluded.since,
    ready_at = excluded.ready_at,
    started_at = excluded.started_at,
    finished_at = excluded.finished_at,
    waiting_seconds = excluded.waiting_seconds,
    queued_seconds = excluded.queued_seconds,
    running_seconds = excluded.running_seconds,
    total_seconds = excluded.total_seconds,
    attempts = excluded.attempts,
    releases = excluded.releases,
    holds = excluded.holds,
    lanes = excluded.lanes;

-- part: differences
-- What differs between the fold in the temporary table and the live one, column by column, at most $1.
SELECT coalesce(expected.task_id, found.task_id)::text AS task, difference.name, difference.expected, difference.found
  FROM pg_temp.task_timeline AS expected
  FULL JOIN projections.task_timeline AS found ON found.task_id = expected.task_id
 CROSS JOIN LATERAL (
       SELECT 'row' AS name,
              CASE WHEN expected.task_id IS NOT NULL THEN 'a row' END AS expected,
              CASE WHEN found.task_id IS NOT NULL THEN 'a row' END AS found
        WHERE expected.task_id IS NULL OR found.task_id IS NULL
        UNION ALL
       SELECT wanted.key, wanted.value, got.value
         FROM jsonb_each_text(to_jsonb(expected)) AS wanted
         JOIN jsonb_each_text(to_jsonb(found)) AS got ON got.key = wanted.key
        WHERE got.value IS DISTINCT FROM wanted.value) AS difference
 WHERE expected IS DISTINCT FROM found
 ORDER BY task, name
 LIMIT $1;
