-- name: reader_lags
-- How many events each reader of the log has before it, counted up to $1 of them and estimated beyond, and for how
-- many seconds the first of them has waited. The sealer has no checkpoint: its last seal is one.
SELECT reader.name,
       CASE WHEN behind.events < $1 THEN behind.events
            ELSE greatest(behind.events, log.position - reader.position) END AS events,
       coalesce(greatest(0, extract(epoch FROM statement_timestamp() - next.recorded_at)), 0)::double precision AS seconds
  FROM (SELECT name, position FROM ledger.readers WHERE name NOT LIKE '%:next:%'
         UNION ALL
        SELECT 'sealer', coalesce(max(upto_position), 0) FROM ledger.seals) AS reader
 CROSS JOIN (SELECT coalesce(max(position), 0) AS position FROM ledger.events) AS log
 CROSS JOIN LATERAL (
       SELECT count(*) AS events
         FROM (SELECT FROM ledger.events WHERE position > reader.position LIMIT $1) AS counted) AS behind
  LEFT JOIN LATERAL (
       SELECT recorded_at FROM ledger.events WHERE position > reader.position ORDER BY position LIMIT 1) AS next ON true
 ORDER BY reader.name;

-- name: worker_slots
-- How many slots the workers have that beat within the last $1 seconds, and how many of them were in use.
SELECT coalesce(sum(capacity), 0) AS capacity, coalesce(sum(running), 0) AS running
  FROM ledger.workers
 WHERE stopped_at IS NULL AND beat_at > statement_timestamp() - make_interval(secs => $1::double precision);
