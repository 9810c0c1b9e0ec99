-- name: request_projection_run
-- At most one run of a projection is open: no row where there is one already.
INSERT INTO ledger.projection_runs (run_id, projection, act, actor, correlation_id, reason)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (projection) WHERE state IN ('queued', 'running') DO NOTHING
RETURNING run_id, projection, act, state, actor, reason, tries, phase, events_done, events_total, seconds,
          swap_seconds, upto_position, differences, difference_count, error, requested_at, started_at, updated_at,
          ended_at;

-- name: open_run_of_projection
-- What keeps another run from being asked for.
SELECT run_id, act FROM ledger.projection_runs WHERE projection = $1 AND state IN ('queued', 'running');

-- name: read_projection_run
-- How far a run has come.
SELECT run_id, projection, act, state, actor, reason, tries, phase, events_done, events_total, seconds,
       swap_seconds, upto_position, differences, difference_count, error, requested_at, started_at, updated_at,
       ended_at
  FROM ledger.projection_runs
 WHERE run_id = $1;

-- name: list_projection_runs
-- Newest first, of one projection or of all, before a run or from the newest on.
SELECT run_id, projection, act, state, actor, reason, tries, phase, events_done, events_total, seconds,
       swap_seconds, upto_position, differences, difference_count, error, requested_at, started_at, updated_at,
       ended_at
  FROM ledger.projection_runs
 WHERE ($1::text IS NULL OR projection = $1) AND ($2::uuid IS NULL OR run_id < $2)
 ORDER BY run_id DESC
 LIMIT $3;

-- name: open_projection_runs
-- What there is to do for a projector that knows these projections, oldest first.
SELECT run_id, projection, act
  FROM ledger.projection_runs
 WHERE state IN ('queued', 'running') AND projection = ANY ($1::text[])
 ORDER BY run_id
 LIMIT $2;

-- name: take_projection_run
-- By whoever holds the lock of the run; no row where it has ended meanwhile.
UPDATE ledger.projection_runs
   SET state = 'running', tries = tries + 1, started_at = coalesce(started_at, clock_timestamp()),
       updated_at = clock_timestamp()
 WHERE run_id = $1 AND state IN ('queued', 'running')
RETURNING tries;

-- name: put_back_projection_run
-- Somebody else is at the read model: the run waits, and that was no try.
UPDATE ledger.projection_runs
   SET state = 'queued', tries = tries - 1, updated_at = clock_timestamp()
 WHERE run_id = $1 AND state = 'running' AND tries > 0;

-- name: note_run_progress
-- How far a run is.
UPDATE ledger.projection_runs
   SET phase = $2, events_done = $3, events_total = $4, seconds = $5, updated_at = clock_timestamp()
 WHERE run_id = $1 AND state = 'running';

-- name: end_projection_run
-- How a run ended, once; $5 and $6 are what a verification found.
UPDATE ledger.projection_runs
   SET state = $2, swap_seconds = $3, upto_position = $4, differences = $5, difference_count = $6, error = $7,
       ended_at = clock_timestamp(), updated_at = clock_timestamp()
 WHERE run_id = $1 AND state IN ('queued', 'running')
RETURNING run_id;

-- name: prune_projection_runs
-- Of the ended runs of a projection the newest are kept.
DELETE FROM ledger.projection_runs
 WHERE state IN ('succeeded', 'failed') AND projection = $1
   AND run_id < (SELECT run_id
                   FROM ledger.projection_runs
                  WHERE state IN ('succeeded', 'failed') AND projection = $1
                  ORDER BY run_id DESC
                 OFFSET $2 - 1
                  LIMIT 1);

-- name: refuse_orphaned_runs
-- What no projector has taken for $2 seconds, and this one does not know.
UPDATE ledger.projection_runs
   SET state = 'failed', error = $3, ended_at = clock_timestamp(), updated_at = clock_timestamp()
 WHERE state = 'queued' AND NOT projection = ANY ($1::text[])
   AND requested_at < clock_timestamp() - make_interval(secs => $2);

-- name: note_projection_error
-- Why a read model does not go on.
INSERT INTO ledger.projection_errors (projection, position, error)
VALUES ($1, coalesce((SELECT position FROM ledger.checkpoints WHERE name = $2), 0), $3)
ON CONFLICT (projection) DO UPDATE
   SET position = excluded.position, error = excluded.error, recorded_at = clock_timestamp()
RETURNING position;

-- name: forget_projection_error
-- It goes on.
DELETE FROM ledger.projection_errors WHERE projection = $1;

-- name: read_projection_error
-- Why a read model does not go on, if it does not.
SELECT position, error, recorded_at FROM ledger.projection_errors WHERE projection = $1;

-- name: changes_of_foreign_tables
-- How often this session has changed the read models' tables other than these: those of its latest transactions count as
-- well, so only what is more than before was changed in between.
SELECT schemaname || '.' || relname AS name, n_tup_ins + n_tup_upd + n_tup_del AS changes
  FROM pg_stat_xact_user_tables
 WHERE schemaname IN ('projections', 'projections_next') AND NOT relname = ANY ($1::text[])
   AND n_tup_ins + n_tup_upd + n_tup_del > 0
 ORDER BY name;
