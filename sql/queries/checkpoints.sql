-- name: ensure_checkpoint
-- A reader that starts for the first time starts at the beginning.
INSERT INTO ledger.checkpoints (name, position) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING;

-- name: read_checkpoint
-- How far a reader has come.
SELECT position FROM ledger.checkpoints WHERE name = $1;

-- name: advance_checkpoint
-- Compare and set: a reader that lost its lead finds no row and stops.
UPDATE ledger.checkpoints
   SET position = $3, updated_at = clock_timestamp()
 WHERE name = $1 AND position = $2
RETURNING position;

-- name: try_lead
-- Takes the leader lock of a role for this session, if it is free.
SELECT pg_try_advisory_lock(19529, hashtext($1));

-- name: prepare_leader_session
-- A leader that vanished with its machine loses its lock in 15 s, one that idles keeps it. A checkpoint that a
-- crash of the database takes back repeats work, so it need not wait for the disk.
SELECT set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '5', false),
       set_config('tcp_keepalives_count', '2', false), set_config('tcp_user_timeout', '15000', false),
       set_config('idle_session_timeout', '0', false), set_config('synchronous_commit', 'off', false),
       set_config('application_name', $1, false);

-- name: stand_for_lead
-- Says for as long as this session lasts that it leads a role, or would: many may hold it, so it never waits.
SELECT pg_advisory_lock_shared(19545, hashtext($1));

-- name: list_candidates
-- The sessions that lead the role $1 or would, with as much of each as the database tells us: what belongs to another
-- login than ours it keeps to itself, but for the name of the session.
SELECT lock.pid AS backend_pid, bool_or(lock.classid = 19529) AS leads, activity.application_name AS process,
       host(activity.client_addr) AS address, activity.backend_start AS since
  FROM pg_locks AS lock
  LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
 WHERE lock.locktype = 'advisory' AND lock.objsubid = 2 AND lock.granted AND lock.classid IN (19529, 19545)
   AND lock.objid::bigint = hashtext($1)::bigint & 4294967295
   AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
 GROUP BY lock.pid, activity.application_name, activity.client_addr, activity.backend_start
 ORDER BY leads DESC, lock.pid;

-- name: relay_lag
-- How far the reader $1 has come, how many events lie behind that, counted up to $2 of them, and for how many seconds
-- the first of these has been there.
SELECT reader.checkpoint, reader.checkpoint_at,
       (SELECT count(*)
          FROM (SELECT FROM ledger.events WHERE position > reader.checkpoint LIMIT $2) AS behind) AS lag_events,
       coalesce((SELECT greatest(0, extract(epoch FROM clock_timestamp() - recorded_at)::double precision)
                   FROM ledger.events
                  WHERE position > reader.checkpoint
                  ORDER BY position
                  LIMIT 1), 0) AS lag_seconds
  FROM (SELECT coalesce(max(position), 0) AS checkpoint, max(updated_at) AS checkpoint_at
          FROM ledger.checkpoints
         WHERE name = $1) AS reader;
