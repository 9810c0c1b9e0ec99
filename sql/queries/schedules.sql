-- name: due_schedules
-- A page of the schedules whose next fire time has come, the longest due first.
SELECT name, next_fire_at, updated_at
  FROM ledger.schedules
 WHERE next_fire_at <= statement_timestamp() AND (next_fire_at, name) > ($1::timestamptz, $2::text)
 ORDER BY next_fire_at, name
 LIMIT $3;

-- name: lock_due_schedule
-- A schedule that is still due, locked unless another session has it. A process that froze from here on would hold
-- back every reader of the log, so its session ends by itself.
SELECT name, cron, time_zone, task, backfill, overlap, starts_at, ends_at, paused, next_fire_at, last_fire_at,
       last_task_id, created_at, updated_at, statement_timestamp() AS now,
       set_config('idle_in_transaction_session_timeout', '5000', true) AS idle_bound
  FROM ledger.schedules
 WHERE name = $1 AND next_fire_at <= statement_timestamp()
   FOR UPDATE SKIP LOCKED;

-- name: lock_schedule_name
-- Holds everybody else off from making, changing or firing by hand a schedule of this name; returns the time.
SELECT clock_timestamp()
  FROM (SELECT pg_advisory_xact_lock(19536, hashtext($1)),
               set_config('idle_in_transaction_session_timeout', '5000', true)) AS held;

-- name: lock_schedule
-- A schedule, locked against whoever would fire or change it.
SELECT name, cron, time_zone, task, backfill, overlap, starts_at, ends_at, paused, next_fire_at, last_fire_at,
       last_task_id, created_at, updated_at
  FROM ledger.schedules
 WHERE name = $1
   FOR UPDATE;

-- name: find_schedule
-- A schedule, with the time by the database's clock.
SELECT name, cron, time_zone, task, backfill, overlap, starts_at, ends_at, paused, next_fire_at, last_fire_at,
       last_task_id, created_at, updated_at, statement_timestamp() AS now
  FROM ledger.schedules
 WHERE name = $1;

-- name: list_schedules
-- A page of the schedules, by name.
SELECT name, cron, time_zone, task, backfill, overlap, starts_at, ends_at, paused, next_fire_at, last_fire_at,
       last_task_id, created_at, updated_at
  FROM ledger.schedules
 WHERE name > $1
 ORDER BY name
 LIMIT $2;

-- name: insert_schedule
-- Makes a schedule.
INSERT INTO ledger.schedules (name, cron, time_zone, task, backfill, overlap, starts_at, ends_at, paused,
                              next_fire_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: update_schedule
-- Changes a schedule; what it fired stays as it is.
UPDATE ledger.schedules
   SET cron = $2, time_zone = $3, task = $4, backfill = $5, overlap = $6, starts_at = $7, ends_at = $8,
       paused = $9, next_fire_at = $10, updated_at = clock_timestamp()
 WHERE name = $1;

-- name: delete_schedule
-- Removes a schedule; its fires and its changes stay.
DELETE FROM ledger.schedules WHERE name = $1;

-- name: taken_fire_times
-- Which of these fire times have been fired or skipped before, by this schedule or one of its name before it.
SELECT fire_at FROM ledger.schedule_fires WHERE schedule = $1 AND fire_at = ANY ($2::timestamptz[]);

-- name: insert_fire
-- Takes a fire time for the task of the same transaction; a time that is taken fails all of it.
INSERT INTO ledger.schedule_fires (schedule, fire_at, task_id, outcome) VALUES ($1, $2, $3, $4);

-- name: record_fires
-- Takes the fire times of a round, and notes how far the schedule has come; a time that is taken fails all of it.
WITH fired AS (
    INSERT INTO ledger.schedule_fires (schedule, fire_at, task_id, outcome)
    SELECT $1, fire_at, task_id, outcome
      FROM unnest($2::timestamptz[], $3::uuid[], $4::text[]) AS fire (fire_at, task_id, outcome)
)
UPDATE ledger.schedules
   SET next_fire_at = $5, last_fire_at = greatest(last_fire_at, $6), last_task_id = coalesce($7, last_task_id)
 WHERE name = $1;

-- name: note_fired_by_hand
-- Remembers the task of a fire by hand; the times are those of the cron expression alone.
UPDATE ledger.schedules SET last_task_id = $2 WHERE name = $1;

-- name: is_unfinished
-- Whether a task has not come to its end: its last event says so, progress aside.
SELECT CASE WHEN type = 'task.failed' THEN data ? 'retry_at'
            ELSE type NOT IN ('task.completed', 'task.cancelled', 'task.discarded', 'task.erased') END
  FROM ledger.events
 WHERE task_id = $1 AND type <> 'task.progressed'
 ORDER BY version DESC
 LIMIT 1;

-- name: recent_fires
-- The latest fires of a schedule, newest first.
SELECT fire_at, task_id, outcome, recorded_at
  FROM ledger.schedule_fires
 WHERE schedule = $1
 ORDER BY fire_at DESC
 LIMIT $2;

-- name: insert_schedule_change
-- Records who changed a schedule, how and why.
INSERT INTO ledger.schedule_changes (schedule, change, definition, actor, reason) VALUES ($1, $2, $3, $4, $5);

-- name: read_schedule_changes
-- A page of the changes of one schedule, newest first, of those before $2 where that is given; they outlive it.
SELECT id, schedule, change, definition, actor, reason, recorded_at
  FROM ledger.schedule_changes
 WHERE schedule = $1 AND ($2::bigint IS NULL OR id < $2)
 ORDER BY id DESC
 LIMIT $3;
