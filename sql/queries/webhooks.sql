-- name: lock_webhook_name
-- One change of an endpoint at a time, also of one that is not there yet; the count is for its bound.
SELECT pg_advisory_xact_lock(19540, hashtext($1));

-- name: count_webhooks
-- How many endpoints there are.
SELECT count(*) FROM ledger.webhooks;

-- name: find_webhook
-- One endpoint.
SELECT name, url, filter, batch_max, state, state_reason, position, failures, failing_since, last_error, next_try_at,
       delivered_at, revision, created_at, updated_at
  FROM ledger.webhooks
 WHERE name = $1;

-- name: list_webhooks
-- A page of the endpoints, by name.
SELECT name, url, filter, batch_max, state, state_reason, position, failures, failing_since, last_error, next_try_at,
       delivered_at, revision, created_at, updated_at
  FROM ledger.webhooks
 WHERE name > $1
 ORDER BY name
 LIMIT $2;

-- name: insert_webhook
-- A new endpoint.
INSERT INTO ledger.webhooks (name, url, filter, batch_max, position) VALUES ($1, $2, $3::jsonb, $4, $5);

-- name: update_webhook
-- Changes what is set for an endpoint; what failed before is tried again at once.
UPDATE ledger.webhooks
   SET url = $2, filter = $3::jsonb, batch_max = $4, next_try_at = NULL, revision = revision + 1,
       updated_at = clock_timestamp()
 WHERE name = $1;

-- name: turn_webhook
-- Pauses or resumes an endpoint; with a fresh count of failures.
UPDATE ledger.webhooks
   SET state = $2, state_reason = $3, failures = 0, failing_since = NULL, next_try_at = NULL,
       updated_at = clock_timestamp()
 WHERE name = $1;

-- name: skip_webhook_event
-- Moves an endpoint on beyond an event, unless it was delivered or skipped meanwhile.
UPDATE ledger.webhooks
   SET position = $3, failures = 0, failing_since = NULL, next_try_at = NULL, revision = revision + 1,
       updated_at = clock_timestamp()
 WHERE name = $1 AND position = $2
RETURNING position;

-- name: delete_webhook
-- Removes an endpoint with its secrets; its log and its changes stay.
DELETE FROM ledger.webhooks WHERE name = $1;

-- name: insert_webhook_secret
-- A secret that is valid until another one takes its place.
INSERT INTO ledger.webhook_secrets (webhook, secret) VALUES ($1, $2);

-- name: retire_webhook_secrets
-- Lets the current secret be valid for $2 seconds more, beside the next one.
UPDATE ledger.webhook_secrets
   SET expires_at = clock_timestamp() + make_interval(secs => $2::double precision)
 WHERE webhook = $1 AND expires_at IS NULL;

-- name: drop_retired_webhook_secrets
-- Two are valid at most: what was retired before goes with the next rotation.
DELETE FROM ledger.webhook_secrets WHERE webhook = $1 AND expires_at IS NOT NULL;

-- name: webhook_secrets
-- The secrets that sign now, the newest first.
SELECT secret FROM ledger.webhook_secrets
 WHERE webhook = $1 AND (expires_at IS NULL OR expires_at > clock_timestamp())
 ORDER BY id DESC;

-- name: insert_webhook_change
-- Who changed an endpoint.
INSERT INTO ledger.webhook_changes (webhook, change, definition, actor, reason) VALUES ($1, $2, $3::jsonb, $4, $5);

-- name: read_webhook_changes
-- A page of the changes, newest first.
SELECT id, change, definition, actor, reason, recorded_at
  FROM ledger.webhook_changes
 WHERE webhook = $1 AND ($2::bigint IS NULL OR id < $2)
 ORDER BY id DESC
 LIMIT $3;

-- name: insert_webhook_delivery
-- A line of the log.
INSERT INTO ledger.webhook_deliveries (webhook, kind, message_id, first_position, last_position, events, outcome,
                                       attempt, status, error, response, duration_ms, actor, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
RETURNING id;

-- name: read_webhook_deliveries
-- A page of the log of an endpoint, newest first, of one outcome or of all.
SELECT id, kind, message_id, first_position, last_position, events, outcome, attempt, status, error, response,
       duration_ms, actor, reason, recorded_at
  FROM ledger.webhook_deliveries
 WHERE webhook = $1 AND ($2::bigint IS NULL OR id < $2) AND ($3::text IS NULL OR outcome = $3)
 ORDER BY id DESC
 LIMIT $4;

-- name: find_webhook_delivery
-- One line of the log.
SELECT id, kind, message_id, first_position, last_position, events, outcome, attempt, status, error, response,
       duration_ms, actor, reason, recorded_at
  FROM ledger.webhook_deliveries
 WHERE webhook = $1 AND id = $2;

-- name: webhooks_to_serve
-- Whose next delivery is due, and for whom something was asked for.
SELECT webhook.name, revision, created_at,
       webhook.state = 'active' AND (next_try_at IS NULL OR next_try_at <= clock_timestamp()) AS due,
       EXISTS (SELECT FROM ledger.webhook_deliveries AS delivery
                WHERE delivery.webhook = webhook.name AND delivery.outcome = 'queued') AS asked
  FROM ledger.webhooks AS webhook
 ORDER BY webhook.name;

-- name: queued_webhook_deliveries
-- What somebody asked for, the oldest first.
SELECT id, kind, message_id, first_position, last_position, events, outcome, attempt, status, error, response,
       duration_ms, actor, reason, recorded_at
  FROM ledger.webhook_deliveries
 WHERE webhook = $1 AND outcome = 'queued'
 ORDER BY id
 LIMIT $2;

-- name: settle_queued_delivery
-- Says what became of what somebody asked for.
UPDATE ledger.webhook_deliveries
   SET outcome = $2, status = $3, error = $4, response = $5, duration_ms = $6, message_id = $7
 WHERE id = $1 AND outcome = 'queued'
RETURNING id;

-- name: advance_webhook
-- Compare and set after a delivery: nobody moves a checkpoint that another has moved, nor that of another definition.
-- What arrived while somebody paused it counts as well.
UPDATE ledger.webhooks
   SET position = $4, failures = 0, failing_since = NULL, last_error = '', next_try_at = NULL,
       delivered_at = clock_timestamp()
 WHERE name = $1 AND revision = $2 AND position = $3
RETURNING state;

-- name: pass_by_unwanted
-- Compare and set beyond events that the endpoint does not want.
UPDATE ledger.webhooks SET position = $4 WHERE name = $1 AND revision = $2 AND position = $3 RETURNING position;

-- name: set_webhook_back
-- Compare and set after a failure: when it is tried again, or that it is not.
UPDATE ledger.webhooks
   SET failures = $4, failing_since = coalesce(failing_since, clock_timestamp()), last_error = $5, state = $6,
       state_reason = $7, next_try_at = clock_timestamp() + make_interval(secs => $8::double precision)
 WHERE name = $1 AND revision = $2 AND position = $3 AND state = 'active'
RETURNING position;

-- name: prune_webhook_log
-- Forgets some of what is older than $1 days, and what was asked for of an endpoint that is gone.
DELETE FROM ledger.webhook_deliveries
 WHERE id IN (SELECT id FROM ledger.webhook_deliveries AS delivery
               WHERE recorded_at < clock_timestamp() - make_interval(secs => $1::double precision * 86400)
                  OR outcome = 'queued'
                     AND NOT EXISTS (SELECT FROM ledger.webhooks AS webhook WHERE webhook.name = delivery.webhook)
               LIMIT $2)
RETURNING id;

-- name: prune_webhook_secrets
-- Forgets the secrets that sign no more.
DELETE FROM ledger.webhook_secrets WHERE expires_at < clock_timestamp();
