-- name: begin_bulk_act
-- Something to do about many dead letters or tasks, for the scheduler; what dies or is submitted after this moment is
-- none of them.
INSERT INTO ledger.bulk_acts (bulk_id, act, filter, actor, correlation_id, traceparent, reason, rate_per_s,
                              letters_max, found, subject)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
RETURNING bulk_id, subject, act, filter, actor, correlation_id, traceparent, reason, rate_per_s, letters_max, found, upto,
          state, acted, skipped, under_way, below_at, below_id, paid_until, ended_at, cancelled_by;

-- name: read_bulk_act
-- How far a bulk act has come.
SELECT bulk_id, subject, act, filter, actor, correlation_id, traceparent, reason, rate_per_s, letters_max, found, upto,
       state, acted, skipped, under_way, below_at, below_id, paid_until, ended_at, cancelled_by
  FROM ledger.bulk_acts
 WHERE bulk_id = $1;

-- name: unfinished_bulk_acts
-- The bulk acts to work off, oldest first; and those that were cancelled while something was under way.
SELECT bulk_id, subject, act, filter, actor, correlation_id, traceparent, reason, rate_per_s, letters_max, found, upto,
       state, acted, skipped, under_way, below_at, below_id, paid_until, ended_at, cancelled_by
  FROM ledger.bulk_acts
 WHERE state = 'running' OR under_way <> '{}'
 ORDER BY bulk_id
 LIMIT $1;

-- name: take_for_bulk_act
-- Compare and set: notes the letters or tasks that are acted upon next, and what they cost of the rate.
UPDATE ledger.bulk_acts
   SET under_way = $3, below_at = $4, below_id = $5, paid_until = $6
 WHERE bulk_id = $1 AND state = 'running' AND under_way = '{}' AND paid_until = $2
RETURNING bulk_id;

-- name: settle_bulk_act
-- Compare and set: counts the letters or tasks that were under way.
UPDATE ledger.bulk_acts
   SET under_way = '{}', acted = acted + $3, skipped = skipped + $4
 WHERE bulk_id = $1 AND under_way = $2 AND under_way <> '{}'
RETURNING bulk_id;

-- name: end_bulk_act
-- Nothing is left to do.
UPDATE ledger.bulk_acts
   SET state = 'done', ended_at = clock_timestamp()
 WHERE bulk_id = $1 AND state = 'running' AND under_way = '{}'
RETURNING bulk_id;

-- name: cancel_bulk_act
-- Stops a bulk act; what it has done stays so.
UPDATE ledger.bulk_acts
   SET state = 'cancelled', ended_at = clock_timestamp(), cancelled_by = $2
 WHERE bulk_id = $1 AND state = 'running'
RETURNING bulk_id;

-- name: list_bulk_acts
-- A page of the bulk acts, newest first: only about the subject $1, only in a state of $2, only those before $3.
SELECT bulk_id, subject, act, filter, actor, correlation_id, traceparent, reason, rate_per_s, letters_max, found, upto,
       state, acted, skipped, under_way, below_at, below_id, paid_until, ended_at, cancelled_by
  FROM ledger.bulk_acts
 WHERE ($1::text IS NULL OR subject = $1)
   AND ($2::text[] IS NULL OR state = ANY ($2))
   AND ($3::uuid IS NULL OR bulk_id < $3)
 ORDER BY bulk_id DESC
 LIMIT $4;

-- name: choose_tasks
-- A page of the tasks that a bulk act is about, newest first; what somebody has discarded is left alone. As in
-- list_tasks, the key serves the order and, within a day, the interval.
SELECT task_id, status, kind, queue, tags, attempt, error ->> 'type' AS error_type, created_at, updated_at
  FROM projections.task_status
 WHERE status = ANY ($1::text[]) AND NOT discarded
   AND ($2::text IS NULL OR kind = $2)
   AND ($3::text IS NULL OR queue = $3)
   AND ($4::text[] IS NULL OR tags @> $4)
   AND ($5::text IS NULL OR error ->> 'type' = $5)
   AND created_at >= $6 AND task_id >= ledger.least_task_id($6 - interval '1 day')
   AND created_at < $7 AND task_id < ledger.least_task_id($7 + interval '1 day')
   AND task_id < $8
 ORDER BY task_id DESC
 LIMIT $9;

-- name: count_chosen_tasks
-- How many tasks a bulk act would be about.
SELECT count(*)
  FROM projections.task_status
 WHERE status = ANY ($1::text[]) AND NOT discarded
   AND ($2::text IS NULL OR kind = $2)
   AND ($3::text IS NULL OR queue = $3)
   AND ($4::text[] IS NULL OR tags @> $4)
   AND ($5::text IS NULL OR error ->> 'type' = $5)
   AND created_at >= $6 AND task_id >= ledger.least_task_id($6 - interval '1 day')
   AND created_at < $7 AND task_id < ledger.least_task_id($7 + interval '1 day');
