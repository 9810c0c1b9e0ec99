-- name: known_queues
-- Every queue that a task or a worker has ever named and that we remember; the index is skipped through, not scanned.
WITH RECURSIVE named AS (
    (SELECT queue FROM projections.task_status ORDER BY queue LIMIT 1)
    UNION ALL
    SELECT (SELECT task.queue FROM projections.task_status AS task
             WHERE task.queue > named.queue ORDER BY task.queue LIMIT 1)
      FROM named
     WHERE named.queue IS NOT NULL
)
SELECT queue AS name FROM named WHERE queue IS NOT NULL;

-- name: queues_of_workers
-- Every queue that a worker we remember has served.
SELECT DISTINCT unnest(queues) AS name FROM ledger.workers;

-- name: await_disk
-- For this transaction: the session may not wait for the disk, but what the broker forgets next has to be there.
SELECT set_config('synchronous_commit', 'on', true);

-- name: keep_dead_letter
-- Keeps a message, unless the same one waits for somebody already: the broker may hand it over twice.
INSERT INTO ledger.dead_letters (letter_id, queue, message_id, body, body_bytes, body_sha256, headers, properties,
                                 reason, cause, task_id, task_version, task_kind)
SELECT $1::uuid, $2::text, $3::text, $4::bytea, $5::bigint, $6::bytea, $7::jsonb, $8::jsonb, $9::text, $10::text,
       $11::uuid, $12::integer, $13::text
 WHERE NOT EXISTS (SELECT FROM ledger.dead_letters AS same
                    WHERE same.body_sha256 = $6 AND same.message_id = $3 AND same.queue = $2
                      AND NOT EXISTS (SELECT FROM ledger.dead_letter_acts AS act
                                       WHERE act.letter_id = same.letter_id))
RETURNING letter_id;

-- name: list_dead_tasks
-- A page of the tasks that failed for good and that nobody has dealt with, newest first.
SELECT task_id, version, kind, queue, tags, error, cause, attempt, finished_at
  FROM projections.task_status
 WHERE status = 'FAILED' AND NOT discarded
   AND ($1::text IS NULL OR kind = $1)
   AND ($2::text IS NULL OR queue = $2)
   AND ($3::text IS NULL OR error ->> 'type' = $3)
   AND ($4::text IS NULL OR cause = $4)
   AND ($5::text[] IS NULL OR tags @> $5)
   AND finished_at >= $6 AND finished_at < $7
   AND (finished_at, task_id) < ($8::timestamptz, $9::uuid)
 ORDER BY finished_at DESC, task_id DESC
 LIMIT $10;

-- name: list_dead_messages
-- A page of the messages that nobody has dealt with, newest first, without their bodies.
SELECT letter_id, queue, message_id, reason, cause, task_id, task_version, task_kind, collected_at
  FROM ledger.dead_letters AS letter
 WHERE ($1::text IS NULL OR task_kind = $1)
   AND ($2::text IS NULL OR queue = $2)
   AND ($3::text IS NULL OR cause = $3)
   AND collected_at >= $4 AND collected_at < $5
   AND (collected_at, letter_id) < ($6::timestamptz, $7::uuid)
   AND NOT EXISTS (SELECT FROM ledger.dead_letter_acts AS act WHERE act.letter_id = letter.letter_id)
 ORDER BY collected_at DESC, letter_id DESC
 LIMIT $8;

-- name: count_dead_tasks
-- How many failed tasks a filter finds.
SELECT count(*)
  FROM projections.task_status
 WHERE status = 'FAILED' AND NOT discarded
   AND ($1::text IS NULL OR kind = $1)
   AND ($2::text IS NULL OR queue = $2)
   AND ($3::text IS NULL OR error ->> 'type' = $3)
   AND ($4::text IS NULL OR cause = $4)
   AND ($5::text[] IS NULL OR tags @> $5)
   AND finished_at >= $6 AND finished_at < $7;

-- name: count_dead_messages
-- How many messages a filter finds.
SELECT count(*)
  FROM ledger.dead_letters AS letter
 WHERE ($1::text IS NULL OR task_kind = $1)
   AND ($2::text IS NULL OR queue = $2)
   AND ($3::text IS NULL OR cause = $3)
   AND collected_at >= $4 AND collected_at < $5
   AND NOT EXISTS (SELECT FROM ledger.dead_letter_acts AS act WHERE act.letter_id = letter.letter_id);

-- name: read_dead_message
-- One message with all that it came with, and what was done about it, if anything was.
SELECT letter.letter_id, queue, message_id, body, body_bytes, headers, properties, letter.reason, cause, task_id,
       task_version, task_kind, collected_at, act.act, act.actor, act.reason AS act_reason, act.bulk_id, act.acted_at
  FROM ledger.dead_letters AS letter
  LEFT JOIN ledger.dead_letter_acts AS act ON act.letter_id = letter.letter_id
 WHERE letter.letter_id = $1;

-- name: record_dead_letter_act
-- Says what was done about a message; nothing where something was done before.
INSERT INTO ledger.dead_letter_acts (letter_id, act, actor, reason, bulk_id) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (letter_id) DO NOTHING
RETURNING acted_at;

-- name: messages_among
-- Which of these letters are messages; the others are tasks.
SELECT letter_id FROM ledger.dead_letters WHERE letter_id = ANY ($1::uuid[]);
