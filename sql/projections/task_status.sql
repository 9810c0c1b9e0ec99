-- The read model of the tasks: one row each, as the API, the scheduler and the sweeper see it. ledger/task_events.py
-- says what an event means; the Task that it folds into is the oracle that the tests hold this fold to.
-- Read models are named without a schema: the search path decides which generation is made or folded into.

-- part: table
-- A task is written about three times within seconds (submitted, started, finished), then never again. A bit of room
-- on the page keeps reports of progress, which touch no index, where they are; vacuum comes early for the dead rows.
-- Names are compared byte by byte: that sorts faster, and the same on every server.
CREATE TABLE task_status (
    task_id          uuid             PRIMARY KEY,
    version          integer          NOT NULL,
    position         bigint           NOT NULL,
    status           text COLLATE "C" NOT NULL,
    kind             text COLLATE "C" NOT NULL,
    queue            text COLLATE "C" NOT NULL,
    priority         smallint         NOT NULL,
    tags             text[]           NOT NULL,
    input            jsonb,
    result           jsonb,
    error            jsonb,
    cause            text,
    attempt          integer          NOT NULL,
    failures         integer          NOT NULL,
    losses           integer          NOT NULL,
    max_attempts     integer          NOT NULL,
    timeout_s        double precision NOT NULL,
    worker_id        text COLLATE "C",
    ready            boolean          NOT NULL,
    release_at       timestamptz,
    ready_at         timestamptz,
    progress         double precision,
    progress_message text,
    cancel_requested boolean          NOT NULL,
    parent           uuid,
    key              text COLLATE "C",
    unique_key       text,
    after            uuid[]           NOT NULL DEFAULT '{}',
    on_parent_failure text,
    tenant           text COLLATE "C",
    hold             text COLLATE "C",
    discarded        boolean          NOT NULL DEFAULT false,
    correlation_id   text             NOT NULL,
    created_at       timestamptz      NOT NULL,
    started_at       timestamptz,
    finished_at      timestamptz,
    updated_at       timestamptz      NOT NULL,
    CONSTRAINT folds_each_event_once CHECK (version > 0)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- Nobody searches by these, so the planner need not sample what can be a megabyte each.
ALTER TABLE task_status
    ALTER COLUMN input SET STATISTICS 0,
    ALTER COLUMN result SET STATISTICS 0,
    ALTER COLUMN error SET STATISTICS 0;

-- part: indexes
-- Lists are newest first: ids are in the order of their time. The last five hold only the tasks that are alive, the one
-- before them only dead letters, in the order of their death.
CREATE INDEX task_status_by_status ON task_status (status, task_id);
CREATE INDEX task_status_by_queue ON task_status (queue, task_id);
CREATE INDEX task_status_by_kind ON task_status (kind, task_id);
CREATE INDEX task_status_by_tags ON task_status USING gin (tags);
CREATE INDEX task_status_dead ON task_status (finished_at, task_id) WHERE status = 'FAILED' AND NOT discarded;
CREATE INDEX task_status_waiting ON task_status (release_at, task_id) WHERE release_at IS NOT NULL;
CREATE INDEX task_status_ready ON task_status (queue, priority, ready_at) WHERE ready;
CREATE INDEX task_status_held ON task_status (queue, (9 - priority), task_id) WHERE hold IN ('paused', 'limit');
CREATE INDEX task_status_held_by_group
    ON task_status (queue, (coalesce(tenant, '')), (coalesce(key, '')), (9 - priority), task_id)
    WHERE hold IN ('paused', 'limit');
CREATE INDEX task_status_running ON task_status (worker_id) WHERE status = 'RUNNING';

-- part: fold
-- `batch` holds events in the order of task and version; a task's own have no gap. So the arrays of a task are indexed
-- by version less what was folded before, and each step is the version of the last event of a type, or NULL.
-- A column keeps its value where no event of the batch writes it. A row that is not at the version before the batch
-- breaks the constraint folds_each_event_once: nothing is folded twice, and no gap is folded over.
MERGE INTO task_status AS task
USING (
    SELECT task_id, version, position, correlation_id, folded_before, reset, started,
           moved IS NOT NULL AS moved,
           CASE moved
               WHEN started THEN 'RUNNING'
               WHEN completed THEN 'COMPLETED'
               WHEN cancelled THEN 'CANCELLED'
               WHEN failed THEN
                   CASE WHEN data[failed - folded_before] ->> 'retry_at' IS NULL THEN 'FAILED' ELSE 'PENDING' END
               ELSE 'PENDING'
           END AS status,
           CASE moved
               WHEN failed THEN (data[failed - folded_before] ->> 'retry_at')::timestamptz
               WHEN 1 THEN (data[1] ->> 'run_at')::timestamptz
           END AS release_at,
           CASE moved
               WHEN held THEN data[held - folded_before] ->> 'reason'
               WHEN 1 THEN data[1] ->> 'hold'
           END AS hold,
           CASE moved WHEN completed THEN nullif(data[completed - folded_before] -> 'result', 'null') END AS result,
           greatest(failed, completed, reset) IS NOT NULL AS tells_error,
           CASE failed WHEN greatest(failed, completed, reset) THEN data[failed - folded_before] END AS failure,
           greatest(progressed, started, reset) IS NOT NULL AS tells_progress,
           CASE progressed
               WHEN greatest(progressed, started, reset) THEN data[progressed - folded_before]
           END AS report,
           greatest(cancel_requested, reset) IS NOT NULL AS tells_cancel,
           coalesce(cancel_requested = greatest(cancel_requested, reset), false) AS cancel_requested,
           greatest(discarded, reset) IS NOT NULL AS tells_discarded,
           coalesce(discarded = greatest(discarded, reset), false) AS discarded,
           CASE
               WHEN reset > 1 THEN (SELECT count(*) FROM unnest(data[reset - folded_before + 1:]) AS later (data)
                                     WHERE data ->> 'cause' IN ('error', 'timeout'))
               ELSE failures
           END AS failures,
           CASE
               WHEN reset > 1 THEN (SELECT count(*) FROM unnest(data[reset - folded_before + 1:]) AS later (data)
                                     WHERE data ->> 'cause' = 'worker_lost')
               ELSE losses
           END AS losses,
           CASE folded_before WHEN 0 THEN data[1] END AS submission,
           data[started - folded_before] AS start,
           recorded_at[1] AS created_at,
           recorded_at[moved - folded_before] AS moved_at,
           recorded_at[started - folded_before] AS started_at,
           recorded_at[version - folded_before] AS updated_at
      FROM (
        SELECT task_id,
               min(version) - 1 AS folded_before,
               max(version) AS version,
               max(position) AS position,
               max(correlation_id) FILTER (WHERE version = 1) AS correlation_id,
               max(version) FILTER (WHERE type NOT IN ('task.progressed', 'task.cancel_requested', 'task.discarded',
                                                         'task.erased'))
                   AS moved,
               max(version) FILTER (WHERE type IN ('task.submitted', 'task.retried')) AS reset,
               max(version) FILTER (WHERE type = 'task.started') AS started,
               max(version) FILTER (WHERE type = 'task.held') AS held,
               max(version) FILTER (WHERE type = 'task.discarded') AS discarded,
               max(version) FILTER (WHERE type = 'task.progressed') AS progressed,
               max(version) FILTER (WHERE type = 'task.completed') AS completed,
               max(version) FILTER (WHERE type = 'task.failed') AS failed,
               max(version) FILTER (WHERE type = 'task.cancelled') AS cancelled,
               max(version) FILTER (WHERE type = 'task.cancel_requested') AS cancel_requested,
               count(*) FILTER (WHERE type = 'task.failed' AND data ->> 'cause' IN ('error', 'timeout')) AS failures,
               count(*) FILTER (WHERE type = 'task.failed' AND data ->> 'cause' = 'worker_lost') AS losses,
               array_agg(data) AS data,
               array_agg(recorded_at) AS recorded_at
          FROM batch
         GROUP BY task_id) AS seen
    OFFSET 0) AS news  -- OFFSET 0: each value above is worked out once, not wherever it is used below
   ON task.task_id = news.task_id
WHEN MATCHED THEN UPDATE SET
    version = CASE WHEN task.version = folded_before THEN news.version ELSE -1 END,
    position = news.position,
    status = CASE WHEN moved THEN news.status ELSE task.status END,
    result = CASE WHEN moved THEN news.result ELSE task.result END,
    error = CASE WHEN tells_error THEN failure -> 'error' ELSE task.error END,
    cause = CASE WHEN tells_error THEN failure ->> 'cause' ELSE task.cause END,
    attempt = CASE WHEN started IS NULL THEN task.attempt ELSE (start ->> 'attempt')::integer END,
    failures = CASE WHEN reset IS NULL THEN task.failures ELSE 0 END + news.failures,
    losses = CASE WHEN reset IS NULL THEN task.losses ELSE 0 END + news.losses,
    worker_id = CASE WHEN started IS NULL THEN task.worker_id ELSE start ->> 'worker_id' END,
    ready = CASE
        WHEN moved THEN news.status = 'PENDING' AND news.release_at IS NULL AND news.hold IS NULL
        ELSE task.ready
    END,
    release_at = CASE WHEN moved THEN news.release_at ELSE task.release_at END,
    hold = CASE WHEN moved THEN news.hold ELSE task.hold END,
    discarded = CASE WHEN tells_discarded THEN news.discarded ELSE task.discarded END,
    ready_at = CASE
        WHEN NOT moved THEN task.ready_at
        WHEN news.status = 'PENDING' AND news.release_at IS NULL AND news.hold IS NULL THEN moved_at
    END,
    progress = CASE WHEN tells_progress THEN (report ->> 'fraction')::double precision ELSE task.progress END,
    progress_message = CASE
        WHEN NOT tells_progress THEN task.progress_message
        WHEN report IS NOT NULL THEN coalesce(report ->> 'message', '')
    END,
    cancel_requested = CASE WHEN tells_cancel THEN news.cancel_requested ELSE task.cancel_requested END,
    started_at = CASE WHEN started IS NULL THEN task.started_at ELSE news.started_at END,
    finished_at = CASE
        WHEN NOT moved THEN task.finished_at
        WHEN news.status IN ('COMPLETED', 'FAILED', 'CANCELLED') THEN moved_at
    END,
    updated_at = news.updated_at
WHEN NOT MATCHED THEN INSERT (
    task_id, version, position, status, kind, queue, priority, tags, input, result, error, cause, attempt, failures,
    losses, max_attempts, timeout_s, worker_id, ready, release_at, ready_at, progress, progress_message,
    cancel_requested, parent, key, unique_key, after, on_parent_failure, tenant, hold, discarded, correlation_id,
    created_at, started_at, finished_at, updated_at)
VALUES (
    news.task_id,
    CASE folded_before WHEN 0 THEN news.version ELSE -1 END,
    news.position,
    news.status,
    submission ->> 'kind',
    submission ->> 'queue',
    coalesce((submission ->> 'priority')::smallint, 5),
    CASE submission -> 'tags'
        WHEN '[]' THEN '{}'
        ELSE ARRAY (SELECT tag FROM jsonb_array_elements_text(submission -> 'tags') AS tags (tag))
    END,
    nullif(submission -> 'input', 'null'),
    news.result,
    failure -> 'error',
    failure ->> 'cause',
    coalesce((start ->> 'attempt')::integer, 0),
    news.failures,
    news.losses,
    coalesce((submission ->> 'max_attempts')::integer, 3),
    coalesce((submission ->> 'timeout_s')::double precision, 300),
    start ->> 'worker_id',
    news.status = 'PENDING' AND news.release_at IS NULL AND news.hold IS NULL,
    news.release_at,
    CASE WHEN news.status = 'PENDING' AND news.release_at IS NULL AND news.hold IS NULL THEN moved_at END,
    (report ->> 'fraction')::double precision,
    CASE WHEN report IS NOT NULL THEN coalesce(report ->> 'message', '') END,
    news.cancel_requested,
    (submission ->> 'parent')::uuid,
    submission ->> 'key',
    submission ->> 'unique_key',
    CASE WHEN submission ? 'after'
         THEN ARRAY (SELECT parent::uuid FROM jsonb_array_elements_text(submission -> 'after') AS parents (parent))
         ELSE '{}'
    END,
    submission ->> 'on_parent_failure',
    CASE submission -> 'tags'
        WHEN '[]' THEN NULL
        ELSE substr(jsonb_path_query_first(submission, '$.tags[*] ? (@ starts with "tenant:")') #>> '{}', 8)
    END,
    news.hold,
    news.discarded,
    news.correlation_id,
    news.created_at,
    news.started_at,
    CASE WHEN news.status IN ('COMPLETED', 'FAILED', 'CANCELLED') THEN moved_at END,
    news.updated_at);

-- part: plain
-- The short way for whole streams, and most are: submitted; submitted and started; submitted, started and completed.
-- The partitions' keys yield each version in the order of the tasks, so three scans meet and nothing is gathered. It
-- writes what `fold` would (the tests hold both to the aggregate), into a generation that has no row of these tasks
-- yet, and returns the tasks that lived in another way. Tasks from $1 to $2, events up to position $3.
WITH streams AS MATERIALIZED (
    SELECT submitted.task_id,
           coalesce(completed.version, started.version, 1) AS version,
           coalesce(completed.position, started.position, submitted.position) AS position,
           submitted.data AS submission,
           nullif(submitted.data -> 'tags', '[]') AS tags,
           submitted.correlation_id,
           submitted.recorded_at AS created_at,
           started.data AS start,
           started.recorded_at AS started_at,
           completed.data -> 'result' AS result,
           completed.recorded_at AS finished_at,
           CASE
               WHEN later.version IS NOT NULL OR submitted.type <> 'task.submitted' THEN false
               WHEN completed.version IS NULL THEN coalesce(started.type, 'task.started') = 'task.started'
               ELSE coalesce(started.type = 'task.started', false) AND completed.type = 'task.completed'
           END AS plain
      FROM (SELECT task_id, type, position, data, recorded_at, correlation_id
              FROM ledger.events
             WHERE version = 1 AND task_id >= $1 AND task_id <= $2 AND position <= $3) AS submitted
      LEFT JOIN (SELECT task_id, version, type, position, data, recorded_at
                   FROM ledger.events
                  WHERE version = 2 AND task_id >= $1 AND task_id <= $2 AND position <= $3) AS started USING (task_id)
      LEFT JOIN (SELECT task_id, version, type, position, data, recorded_at
                   FROM ledger.events
                  WHERE version = 3 AND task_id >= $1 AND task_id <= $2 AND position <= $3) AS completed USING (task_id)
      LEFT JOIN (SELECT task_id, version
                   FROM ledger.events
                  WHERE version = 4 AND task_id >= $1 AND task_id <= $2 AND position <= $3) AS later USING (task_id)
), folded AS (
    INSERT INTO task_status (
        task_id, version, position, status, kind, queue, priority, tags, input, result, attempt, failures, losses,
        max_attempts, timeout_s, worker_id, ready, release_at, ready_at, cancel_requested, parent, key, unique_key,
        after, on_parent_failure, tenant, hold, correlation_id, created_at, started_at, finished_at, updated_at)
    SELECT task_id,
           version,
           position,
           CASE version WHEN 1 THEN 'PENDING' WHEN 2 THEN 'RUNNING' ELSE 'COMPLETED' END,
           submission ->> 'kind',
           submission ->> 'queue',
           coalesce((submission ->> 'priority')::smallint, 5),
           CASE WHEN tags IS NULL THEN '{}' ELSE ARRAY (SELECT jsonb_array_elements_text(tags)) END,
           nullif(submission -> 'input', 'null'),
           nullif(result, 'null'),
           coalesce((start ->> 'attempt')::integer, 0),
           0,
           0,
           coalesce((submission ->> 'max_attempts')::integer, 3),
           coalesce((submission ->> 'timeout_s')::double precision, 300),
           start ->> 'worker_id',
           version = 1 AND NOT submission ?| '{run_at,hold}',
           CASE version WHEN 1 THEN (submission ->> 'run_at')::timestamptz END,
           CASE WHEN version = 1 AND NOT submission ?| '{run_at,hold}' THEN created_at END,
           false,
           (submission ->> 'parent')::uuid,
           submission ->> 'key',
           submission ->> 'unique_key',
           CASE WHEN submission ? 'after'
                THEN ARRAY (SELECT parent::uuid
                              FROM jsonb_array_elements_text(submission -> 'after') AS parents (parent))
                ELSE '{}'
           END,
           submission ->> 'on_parent_failure',
           substr(jsonb_path_query_first(tags, '$[*] ? (@ starts with "tenant:")') #>> '{}', 8),
           CASE version WHEN 1 THEN submission ->> 'hold' END,
           correlation_id,
           created_at,
           started_at,
           finished_at,
           coalesce(finished_at, started_at, created_at)
      FROM streams
     WHERE plain
)
SELECT array_agg(task_id) FROM streams WHERE NOT plain;

-- part: differences
-- What differs between the fold in the temporary table and the live one, column by column, at most $1.
SELECT coalesce(expected.task_id, found.task_id)::text AS task, difference.name, difference.expected, difference.found
  FROM pg_temp.task_status AS expected
  FULL JOIN projections.task_status AS found ON found.task_id = expected.task_id
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
   AND NOT EXISTS (  -- nobody can tell any more what the tasks of these months came to
       SELECT FROM ledger.archived_months AS archive
        WHERE archive.is_dropped AND found.task_id >= archive.least_task_id AND found.task_id < archive.beyond_task_id)
 ORDER BY task, name
 LIMIT $1;
