-- What happened in each minute, and how long it took: one row a minute, queue, kind, outcome and latency bucket, so a
-- histogram is what its rows are and any two of them add up. The minute is that of the event, in UTC.
--
-- Outcomes: submitted, started, completed, failed (for good), will_retry (failed, and tried again), cancelled, retried
-- (driven again by hand). A started has the time since it became ready (queued); completed, failed, will_retry and
-- cancelled have that of the attempt that they end (run). Where there is no such time the bucket is -1.
--
-- Buckets: 20 a decade. Bucket b holds latencies below 10 ^ ((b + 61) / 20) µs and not below 10 ^ ((b + 60) / 20) µs, so
-- each is 12 % wider than the one before; bucket 0 also holds what is less than 1 ms, bucket 180 what is more than 11 days.

-- part: table
-- The rows of the current minute are counted up a few times a second and touch no index: room on the page for them.
CREATE TABLE queue_stats (
    minute       timestamptz      NOT NULL,
    queue        text COLLATE "C" NOT NULL,
    kind         text COLLATE "C" NOT NULL,
    outcome      text COLLATE "C" NOT NULL,
    bucket       smallint         NOT NULL,
    events       bigint           NOT NULL,
    microseconds bigint           NOT NULL,
    PRIMARY KEY (minute, queue, kind, outcome, bucket)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- part: fold
-- The move before a move says how long the state between them lasted; it may lie in an earlier batch, and is looked up
-- in the ledger then, where it never changes. So what an event adds does not depend on the batch that it comes in.
-- Rows are written in the order of their key, after all of them are known: sessions side by side cannot deadlock, and
-- hold each other up only while they write.
, moves AS (
    SELECT task_id, version, type, queue COLLATE "C" AS queue, kind COLLATE "C" AS kind, recorded_at,
           data ->> 'retry_at' AS retry_at,
           lag(recorded_at) OVER stream AS before_at,
           lag(type) OVER stream AS before_type
      FROM batch
     WHERE type IN ('task.submitted', 'task.released', 'task.held', 'task.started', 'task.completed', 'task.failed',
                    'task.cancelled', 'task.retried')
    WINDOW stream AS (PARTITION BY task_id ORDER BY version)
), timed AS (
    SELECT date_trunc('minute', move.recorded_at, 'UTC') AS minute, queue, kind,
           CASE WHEN move.type = 'task.failed' AND retry_at IS NOT NULL THEN 'will_retry'
                ELSE substr(move.type, 6)
           END COLLATE "C" AS outcome,
           CASE WHEN move.type = 'task.started' OR coalesce(before_type, earlier.type) = 'task.started'
                THEN greatest(0, extract(epoch FROM move.recorded_at - coalesce(before_at, earlier.recorded_at)) * 1000000)
           END::bigint AS microseconds
      FROM moves AS move
      LEFT JOIN LATERAL (
           SELECT event.type, event.recorded_at
             FROM ledger.events AS event
            WHERE move.before_at IS NULL AND move.type IN ('task.started', 'task.completed', 'task.failed',
                                                           'task.cancelled')
              AND event.task_id = move.task_id AND event.version < move.version
              AND event.type IN ('task.submitted', 'task.released', 'task.held', 'task.started', 'task.completed',
                                 'task.failed', 'task.cancelled', 'task.retried')
            ORDER BY event.version DESC
            LIMIT 1) AS earlier ON true
     WHERE move.type NOT IN ('task.released', 'task.held')
), bucketed AS (
    SELECT minute, queue, kind, outcome, coalesce(microseconds, 0) AS microseconds,
           CASE WHEN microseconds IS NULL THEN -1
                ELSE least(180, greatest(0, floor(20 * log(greatest(microseconds, 1)::double precision))::integer - 60))
           END::smallint AS bucket
      FROM timed
)
INSERT INTO queue_stats AS kept (minute, queue, kind, outcome, bucket, events, microseconds)
SELECT minute, queue, kind, outcome, bucket, count(*), sum(microseconds)::bigint
  FROM bucketed
 GROUP BY minute, queue, kind, outcome, bucket
 ORDER BY minute, queue, kind, outcome, bucket
ON CONFLICT (minute, queue, kind, outcome, bucket) DO UPDATE
   SET events = kept.events + excluded.events, microseconds = kept.microseconds + excluded.microseconds;

-- part: differences
-- What differs between the fold in the temporary table and the live one, column by column, at most $1.
SELECT concat_ws(' ', to_char(coalesce(expected.minute, found.minute) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"'),
                 coalesce(expected.queue, found.queue), coalesce(expected.kind, found.kind),
                 coalesce(expected.outcome, found.outcome), coalesce(expected.bucket, found.bucket)) AS key,
       difference.name, difference.expected, difference.found
  FROM pg_temp.queue_stats AS expected
  FULL JOIN projections.queue_stats AS found
         ON found.minute = expected.minute AND found.queue = expected.queue AND found.kind = expected.kind
        AND found.outcome = expected.outcome AND found.bucket = expected.bucket
 CROSS JOIN LATERAL (VALUES ('events', expected.events::text, found.events::text),
                            ('microseconds', expected.microseconds::text, found.microseconds::text))
       AS difference (name, expected, found)
 WHERE difference.expected IS DISTINCT FROM difference.found
 ORDER BY key, name
 LIMIT $1;
