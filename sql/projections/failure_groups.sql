-- What goes wrong: one row for each kind of trouble, and its trend by the hour. The same trouble is the same type of
-- error, the same message once what varies in it is taken out, and the same top frame of the traceback (where it was
-- raised: file and function, without the line). Each Failed counts as an attempt; it is final without a retry to come.
-- An error that is encrypted tells its type only, and one that is no object at all nothing: their message is (encrypted).

-- part: table
-- Lists are bounded so that their order and the batches do not matter: the last 10 tasks by the position of their last
-- failure here, the first 20 kinds and queues by the order of their bytes.
CREATE TABLE failure_groups (
    group_id       uuid             PRIMARY KEY,
    error_type     text COLLATE "C" NOT NULL,
    message        text COLLATE "C" NOT NULL,
    frame          text COLLATE "C" NOT NULL,
    attempts       bigint           NOT NULL,
    final          bigint           NOT NULL,
    first_position bigint           NOT NULL,
    first_seen     timestamptz      NOT NULL,
    last_position  bigint           NOT NULL,
    last_seen      timestamptz      NOT NULL,
    tasks          uuid[]           NOT NULL,
    task_positions bigint[]         NOT NULL,
    kinds          text[]           NOT NULL,
    queues         text[]           NOT NULL
) WITH (fillfactor = 80);

CREATE TABLE failure_trend (
    group_id uuid        NOT NULL,
    hour     timestamptz NOT NULL,
    attempts bigint      NOT NULL,
    final    bigint      NOT NULL,
    PRIMARY KEY (group_id, hour)
) WITH (fillfactor = 80);

-- part: indexes
CREATE INDEX failure_groups_by_last ON failure_groups (last_seen, group_id);

-- part: fold
-- The message is normalised step by step, in the classes of ASCII only: so it is the same under every collation and
-- every release. Rows are written in the order of their keys, groups before hours, after all of them are known:
-- sessions side by side cannot deadlock, and hold each other up only while they write.
, failures AS MATERIALIZED (
    SELECT task_id, position, kind COLLATE "C" AS kind, queue COLLATE "C" AS queue, recorded_at,
           data ->> 'retry_at' IS NULL AS is_final,
           CASE WHEN jsonb_typeof(data -> 'error') = 'object' AND NOT data -> 'error' ? '$encrypted'
                THEN data -> 'error'
                ELSE jsonb_build_object('type', coalesce(data -> 'error' ->> 'type', '(encrypted)'),
                                        'message', '(encrypted)')
           END AS error
      FROM batch
     WHERE type = 'task.failed'
), described AS MATERIALIZED (
    SELECT task_id, position, kind, queue, recorded_at, is_final,
           left(coalesce(error ->> 'type', ''), 200) COLLATE "C" AS error_type,
           left(message, 300) COLLATE "C" AS message,
           CASE WHEN strpos(traceback, '  File "') > 0
                THEN left(split_part(replace(split_part(split_part(traceback, '  File "', -1), '"', 1), '\', '/'), '/', -1)
                          || ' in '
                          || split_part(split_part(split_part(traceback, '  File "', -1), E'\n', 1), ', in ', 2), 200)
                ELSE ''
           END COLLATE "C" AS frame
      FROM failures
     CROSS JOIN LATERAL (SELECT left(error ->> 'message', 1000) COLLATE "C" AS raw,
                                coalesce(error ->> 'traceback', '') AS traceback) AS told
     CROSS JOIN LATERAL (SELECT regexp_replace(coalesce(raw, ''), '[ \t\r\n\f\v]+', ' ', 'g') AS spaced) AS a
     CROSS JOIN LATERAL (SELECT regexp_replace(spaced, '(^|[^0-9A-Za-z])(''[^'']*''|"[^"]*"|`[^`]*`)', '\1<text>', 'g')
                                AS unquoted) AS b
     CROSS JOIN LATERAL (SELECT regexp_replace(unquoted, '[A-Za-z][0-9A-Za-z+.-]*://[^ ]+', '<url>', 'g') AS no_urls) AS c
     CROSS JOIN LATERAL (SELECT regexp_replace(no_urls, '[0-9A-Za-z._%+-]+@[0-9A-Za-z.-]+', '<address>', 'g')
                                AS no_mail) AS d
     CROSS JOIN LATERAL (SELECT regexp_replace(no_mail, '(^|[ (=:,\[])(~|[.]{1,2}|[A-Za-z]:)?[/\\][^ ,:;)\]]+',
                                               '\1<path>', 'g') AS no_paths) AS e
     CROSS JOIN LATERAL (SELECT regexp_replace(no_paths, '[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}', '<uuid>',
                                               'g') AS no_uuids) AS f
     CROSS JOIN LATERAL (SELECT regexp_replace(no_uuids, '[0-9]{1,3}([.][0-9]{1,3}){3}(:[0-9]+)?', '<address>', 'g')
                                AS no_addresses) AS g
     CROSS JOIN LATERAL (SELECT regexp_replace(no_addresses, '0x[0-9A-Fa-f]+', '<hex>', 'g') AS no_prefixes) AS h
     CROSS JOIN LATERAL (SELECT regexp_replace(no_prefixes, '(^|[^0-9A-Za-z])[0-9]+(?![0-9A-Za-z])', '\1<n>', 'g')
                                AS no_wholes) AS i
     CROSS JOIN LATERAL (SELECT regexp_replace(no_wholes, '(^|[^0-9A-Za-z])[0-9A-Fa-f]{8,}(?![0-9A-Za-z])', '\1<hex>', 'g')
                                AS no_hex) AS j
     CROSS JOIN LATERAL (SELECT regexp_replace(no_hex, '[0-9]+', '<n>', 'g') AS no_numbers) AS k
     CROSS JOIN LATERAL (SELECT regexp_replace(no_numbers, '<n>([-.,:/]? ?<n>)+', '<n>', 'g') AS message) AS l
), facts AS MATERIALIZED (
    SELECT task_id, position, kind, queue, recorded_at, is_final, error_type, message, frame,
           left(encode(sha256(convert_to(jsonb_build_array(error_type, message, frame)::text, 'UTF8')), 'hex'), 32)::uuid
               AS group_id
      FROM described
), seen AS (
    SELECT group_id, task_id, max(position) AS position FROM facts GROUP BY group_id, task_id
), latest AS (
    SELECT group_id, (array_agg(task_id ORDER BY position DESC))[1:10] AS tasks,
           (array_agg(position ORDER BY position DESC))[1:10] AS task_positions
      FROM seen
     GROUP BY group_id
), totals AS (
    SELECT group_id, min(error_type) AS error_type, min(message) AS message, min(frame) AS frame,
           count(*) AS attempts, count(*) FILTER (WHERE is_final) AS final,
           min(position) AS first_position, (array_agg(recorded_at ORDER BY position))[1] AS first_seen,
           max(position) AS last_position, (array_agg(recorded_at ORDER BY position DESC))[1] AS last_seen,
           (array_agg(DISTINCT kind))[1:20] AS kinds,
           (array_agg(DISTINCT queue))[1:20] AS queues
      FROM facts
     GROUP BY group_id
), hours AS (
    INSERT INTO failure_trend AS kept (group_id, hour, attempts, final)
    SELECT group_id, date_trunc('hour', recorded_at, 'UTC') AS hour, count(*), count(*) FILTER (WHERE is_final)
      FROM facts
     GROUP BY group_id, hour
     ORDER BY group_id, hour
    ON CONFLICT (group_id, hour) DO UPDATE
       SET attempts = kept.attempts + excluded.attempts, final = kept.final + excluded.final
)
INSERT INTO failure_groups AS kept (
    group_id, error_type, message, frame, attempts, final, first_position, first_seen, last_position, last_seen,
    tasks, task_positions, kinds, queues)
SELECT group_id, error_type, message, frame, attempts, final, first_position, first_seen, last_position, last_seen,
       tasks, task_positions, kinds, queues
  FROM totals
  JOIN latest USING (group_id)
 ORDER BY group_id
ON CONFLICT (group_id) DO UPDATE SET
    attempts = kept.attempts + excluded.attempts,
    final = kept.final + excluded.final,
    first_position = least(kept.first_position, excluded.first_position),
    first_seen = CASE WHEN kept.first_position < excluded.first_position THEN kept.first_seen
                      ELSE excluded.first_seen END,
    last_position = greatest(kept.last_position, excluded.last_position),
    last_seen = CASE WHEN kept.last_position > excluded.last_position THEN kept.last_seen ELSE excluded.last_seen END,
    (tasks, task_positions) = (
        SELECT array_agg(task ORDER BY position DESC), array_agg(position ORDER BY position DESC)
          FROM (SELECT task, max(position) AS position
                  FROM unnest(kept.tasks || excluded.tasks, kept.task_positions || excluded.task_positions)
                       AS both_lists (task, position)
                 GROUP BY task
                 ORDER BY position DESC
                 LIMIT 10) AS newest),
    kinds = ARRAY (SELECT DISTINCT name COLLATE "C" FROM unnest(kept.kinds || excluded.kinds) AS names (name)
                    ORDER BY name COLLATE "C" LIMIT 20),
    queues = ARRAY (SELECT DISTINCT name COLLATE "C" FROM unnest(kept.queues || excluded.queues) AS names (name)
                     ORDER BY name COLLATE "C" LIMIT 20);

-- part: differences
-- What differs between the fold in the temporary tables and the live ones, column by column, at most $1.
SELECT key, difference.name, difference.expected, difference.found
  FROM (SELECT coalesce(expected.group_id, found.group_id)::text AS key,
               to_jsonb(expected) AS expected, to_jsonb(found) AS found
          FROM pg_temp.failure_groups AS expected
          FULL JOIN projections.failure_groups AS found ON found.group_id = expected.group_id
         WHERE expected IS DISTINCT FROM found
         UNION ALL
        SELECT concat_ws(' ', coalesce(expected.group_id, found.group_id),
                         to_char(coalesce(expected.hour, found.hour) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24"Z"')),
               to_jsonb(expected), to_jsonb(found)
          FROM pg_temp.failure_trend AS expected
          FULL JOIN projections.failure_trend AS found
                 ON found.group_id = expected.group_id AND found.hour = expected.hour
         WHERE expected IS DISTINCT FROM found) AS rows (key, expected, found)
 CROSS JOIN LATERAL (
       SELECT 'row' AS name, expected #>> '{group_id}' AS expected, found #>> '{group_id}' AS found
        WHERE expected IS NULL OR found IS NULL
        UNION ALL
       SELECT wanted.key, wanted.value, got.value
         FROM jsonb_each_text(expected) AS wanted
         JOIN jsonb_each_text(found) AS got ON got.key = wanted.key
        WHERE got.value IS DISTINCT FROM wanted.value) AS difference
 ORDER BY key, name
 LIMIT $1;
