-- name: begin_bulk_act
-- Something to do about many dead letters, for the scheduler; what dies after this moment is none of them.
INSERT INTO ledger.bulk_acts (bulk_id, act, filter, actor, correlation_id, traceparent, reason, rate_per_s,
                              letters_max, found)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
RETURNING bulk_id, act, filter, actor, correlation_id, traceparent, reason, rate_per_s, letters_max, found, upto, state,
          acted, skipped, under_way, below_at, below_id, paid_until, ended_at, cancelled_by;

-- name: read_bulk_act
-- How far a bulk act has come.
SELECT bulk_id, act, filter, actor, correlation_id, traceparent, reason, rate_per_s, letters_max, found, upto, state,
       acted, skipped, under_way, below_at, below_id, paid_until, ended_at, cancelled_by
  FROM ledger.bulk_acts
 WHERE bulk_id = $1;

-- name: unfinished_bulk_acts
-- The bulk acts to work off, oldest first; and those that were cancelled while letters were under way.
SELECT bulk_id, act, filter, actor, correlation_id, traceparent, reason, rate_per_s, letters_max, found, upto, state,
       acted, skipped, under_way, below_at, below_id, paid_until, ended_at, cancelled_by
  FROM ledger.bulk_acts
 WHERE state = 'running' OR under_way <> '{}'
 ORDER BY bulk_id
 LIMIT $1;

-- name: take_letters
-- Compare and set: notes the letters that are acted upon next, and what they cost of the rate.
UPDATE ledger.bulk_acts
   SET under_way = $3, below_at = $4, below_id = $5, paid_until = $6
 WHERE bulk_id = $1 AND state = 'running' AND under_way = '{}' AND paid_until = $2
RETURNING bulk_id;

-- name: settle_letters
-- Compare and set: counts the letters that were under way.
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
