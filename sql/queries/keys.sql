-- name: bound_keyed_append
-- For this transaction: neither wait long for a key, nor hold one (and the append horizon) while its process stands.
SELECT set_config('lock_timeout', '2000', true), set_config('idle_in_transaction_session_timeout', '10000', true);

-- name: try_lock_idempotency_key
-- Locks a key until the transaction ends; false while another request with it is in flight.
SELECT pg_try_advisory_xact_lock(19532, hashtext($1::text || ' ' || $2::text));

-- name: first_use_of_idempotency_key
-- What a key was used for, and the receipt of it; ask this in a statement after the lock, so that it sees the last use.
SELECT used.digest, used.existing, event.task_id, event.version, event.position, event.recorded_at
  FROM ledger.idempotency_keys AS used
  JOIN ledger.events AS event ON event.task_id = used.task_id AND event.version = used.version
 WHERE used.scope = $1 AND used.key = $2;

-- name: keep_idempotency_key
-- Keeps what a key is used for; one that is there already led to events that are no longer here.
INSERT INTO ledger.idempotency_keys (scope, key, digest, task_id, version, existing)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (scope, key) DO UPDATE
   SET digest = excluded.digest, task_id = excluded.task_id, version = excluded.version,
       existing = excluded.existing, kept_since = excluded.kept_since;

-- name: forget_idempotency_keys
-- Deletes a batch of the keys that were kept for longer than $1, the oldest first.
DELETE FROM ledger.idempotency_keys AS old
 USING (SELECT scope, key
          FROM ledger.idempotency_keys
         WHERE kept_since < statement_timestamp() - $1::interval
         ORDER BY kept_since
         LIMIT $2
           FOR UPDATE SKIP LOCKED) AS batch
 WHERE old.scope = batch.scope AND old.key = batch.key;

-- name: lock_unique_key
-- Locks a unique key of a kind until the transaction ends; waits for whoever takes it at the same time.
SELECT pg_advisory_xact_lock(19533, hashtext($1::text || ' ' || $2::text));

-- name: unfinished_holder
-- The unfinished task that holds a unique key, with the receipt of its submission; ask this in a statement after the
-- lock, so that it sees whoever took the key last.
SELECT submission.task_id, submission.version, submission.position, submission.recorded_at
  FROM ledger.unique_tasks AS holder
  JOIN ledger.events AS submission ON submission.task_id = holder.task_id AND submission.version = 1
 WHERE holder.kind = $1 AND holder.unique_key = $2 AND ledger.is_unfinished(holder.task_id);

-- name: take_unique_key
-- Gives a unique key to a task. It is written even where the task has it already: the row is then locked against its
-- deletion, and a transaction with an older view of it fails.
INSERT INTO ledger.unique_tasks (kind, unique_key, task_id)
VALUES ($1, $2, $3)
ON CONFLICT (kind, unique_key) DO UPDATE SET task_id = excluded.task_id;

-- name: lock_unique_tasks
-- A page of the keys that were taken; locked, so that nobody takes one again while it is looked at.
SELECT kind, unique_key
  FROM ledger.unique_tasks
 WHERE (kind, unique_key) > ($1::text, $2::text)
 ORDER BY kind, unique_key
 LIMIT $3
   FOR UPDATE SKIP LOCKED;

-- name: forget_unique_tasks
-- Deletes those of a locked page whose tasks are finished; a statement of its own, so that it sees their last events.
DELETE FROM ledger.unique_tasks AS held
 USING unnest($1::text[], $2::text[]) AS page (kind, unique_key)
 WHERE held.kind = page.kind AND held.unique_key = page.unique_key AND NOT ledger.is_unfinished(held.task_id);
