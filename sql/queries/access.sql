-- name: api_keys
-- Every key, also those that are revoked: where there was ever one, nobody gets in without.
SELECT name, digest, previous_digest, previous_until, scopes, rate_max, expires_at, revoked_at, created_at, last_used_at
  FROM ledger.api_keys
 ORDER BY name;

-- name: create_api_key
-- A new key; no row where the name was ever used.
INSERT INTO ledger.api_keys (name, digest, scopes, rate_max, expires_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (name) DO NOTHING
RETURNING name;

-- name: rotate_api_key
-- A new digest; the one before it is good for $3 more. No row where there is no such key, or it is revoked.
UPDATE ledger.api_keys
   SET previous_digest = digest, previous_until = clock_timestamp() + $3::interval, digest = $2
 WHERE name = $1 AND revoked_at IS NULL
RETURNING scopes;

-- name: revoke_api_key
-- From now on nobody gets in with it. No row where there is no such key, or it is revoked already.
UPDATE ledger.api_keys SET revoked_at = clock_timestamp()
 WHERE name = $1 AND revoked_at IS NULL
RETURNING scopes;

-- name: api_key_exists
-- Tells a key that is revoked from one that never was.
SELECT FROM ledger.api_keys WHERE name = $1;

-- name: note_api_key_change
-- Who changed which key, and why.
INSERT INTO ledger.api_key_changes (name, change, scopes, actor, reason) VALUES ($1, $2, $3, $4, $5);

-- name: note_api_key_use
-- When keys were last used, to the minute: not every request writes.
UPDATE ledger.api_keys SET last_used_at = clock_timestamp()
 WHERE name = ANY ($1::text[]) AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute');

-- name: open_session
-- A session of the dashboard.
INSERT INTO ledger.sessions (digest, key_name, expires_at) VALUES ($1, $2, clock_timestamp() + $3::interval);

-- name: session_keys
-- The keys that sessions were opened with, as long as they last.
SELECT digest, key_name FROM ledger.sessions WHERE digest = ANY ($1::bytea[]) AND expires_at > clock_timestamp();

-- name: close_session
-- The end of a session.
DELETE FROM ledger.sessions WHERE digest = $1;

-- name: forget_sessions
-- Sessions that are over, at most $1 at once.
DELETE FROM ledger.sessions
 WHERE digest IN (SELECT digest FROM ledger.sessions WHERE expires_at <= clock_timestamp() LIMIT $1);
