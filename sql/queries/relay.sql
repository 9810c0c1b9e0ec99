-- name: read_relay_layout
-- The checkpoints of the relay: their names say among how many shards the log is divided.
SELECT name, position FROM ledger.checkpoints WHERE name = 'relay' OR starts_with(name, 'relay:') ORDER BY name;

-- name: drop_relay_layout
-- First in its transaction, under the lead of all shards.
DELETE FROM ledger.checkpoints WHERE name = 'relay' OR starts_with(name, 'relay:');

-- name: make_relay_layout
-- Every shard starts where the slowest of the former ones was.
INSERT INTO ledger.checkpoints (name, position) SELECT name, $2 FROM unnest($1::text[]) AS shard (name);

-- name: try_share_lead
-- Keeps everybody from leading all shards, as a relay without shards does and whoever divides the log anew.
SELECT pg_try_advisory_lock_shared(19529, hashtext($1));

-- name: give_up_lead
-- For somebody else to lead.
SELECT pg_advisory_unlock(19529, hashtext($1));

-- name: give_up_leads
-- Everything that this session has locked.
SELECT pg_advisory_unlock_all();

-- name: relay_standing
-- The sessions of the relays that share the work under the name $1, in an order that all of them see, and the layout.
SELECT array(SELECT pid
               FROM pg_locks
              WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND classid = 19545
                AND objid::bigint = hashtext($1)::bigint & 4294967295
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
              ORDER BY pid) AS standing,
       array(SELECT name FROM ledger.checkpoints WHERE name = 'relay' OR starts_with(name, 'relay:')) AS layout;

-- name: list_candidates
-- The sessions that lead one of the roles $1 or would, with as much of each as the database tells us: what belongs to
-- another login than ours it keeps to itself, but for the name of the session.
SELECT role.name AS role, lock.pid AS backend_pid, lock.classid = 19529 AS leads, activity.application_name AS process,
       host(activity.client_addr) AS address, activity.backend_start AS since
  FROM pg_locks AS lock
  JOIN unnest($1::text[]) AS role (name) ON lock.objid::bigint = hashtext(role.name)::bigint & 4294967295
  LEFT JOIN pg_stat_activity AS activity ON activity.pid = lock.pid
 WHERE lock.locktype = 'advisory' AND lock.objsubid = 2 AND lock.granted
   AND (lock.classid = 19545 OR lock.classid = 19529 AND lock.mode = 'ExclusiveLock')
   AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
 ORDER BY leads DESC, lock.pid;

-- name: relay_lag
-- How far each of the relay's shards $1 has come, how many events of its tasks lie behind that, counted up to $2 of
-- all shards together, and for how many seconds the first of these has been there.
WITH shard AS MATERIALIZED (
    SELECT (given.number - 1)::integer AS index, coalesce(checkpoint.position, 0) AS checkpoint,
           checkpoint.updated_at AS checkpoint_at
      FROM unnest($1::text[]) WITH ORDINALITY AS given (name, number)
      LEFT JOIN ledger.checkpoints AS checkpoint ON checkpoint.name = given.name
), behind AS (
    SELECT position, recorded_at,
           CASE WHEN cardinality($1) = 1 THEN 0 ELSE ledger.shard_of(task_id, cardinality($1)) END AS index
      FROM ledger.events
     WHERE position > (SELECT min(checkpoint) FROM shard)
     ORDER BY position
     LIMIT $2
)
SELECT shard.index, shard.checkpoint, shard.checkpoint_at, count(behind.position) AS lag_events,
       coalesce(greatest(0, extract(epoch FROM clock_timestamp() - min(behind.recorded_at))), 0)::double precision
           AS lag_seconds
  FROM shard
  LEFT JOIN behind ON behind.index = shard.index AND behind.position > shard.checkpoint
 GROUP BY shard.index, shard.checkpoint, shard.checkpoint_at
 ORDER BY shard.index;
