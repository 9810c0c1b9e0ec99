-- name: ensure_checkpoint
-- A reader that starts for the first time starts at the beginning.
INSERT INTO ledger.checkpoints (name, position) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING;

-- name: read_checkpoint
-- How far a reader has come.
SELECT position FROM ledger.checkpoints WHERE name = $1;

-- name: reader_position
-- How far a reader has come as a whole: the relay as far as the slowest of its shards.
SELECT position FROM ledger.readers WHERE name = $1;

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

