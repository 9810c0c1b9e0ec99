-- How far each reader of the log has come. The relay may have its log divided among shards, each with a checkpoint
-- `relay:<shard>/<shards>`: what is published is what all of them have come past.
CREATE VIEW ledger.readers AS
SELECT CASE WHEN starts_with(name, 'relay:') THEN 'relay' ELSE name END AS name,
       min(position) AS position, max(updated_at) AS updated_at
  FROM ledger.checkpoints
 GROUP BY 1;

-- The shard of a task: the hash is the one that partitions by HASH are made with, so no release changes it.
CREATE FUNCTION ledger.shard_of(task_id uuid, shards integer) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ((uuid_hash_extended(task_id, 0) & 4294967295) % shards)::integer
$$;

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ledger_api', 'ledger_worker', 'ledger_relay', 'ledger_scheduler',
                                     'ledger_projector', 'ledger_auditor'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
        EXECUTE format('GRANT SELECT ON ledger.readers TO %I', role_name);
    END LOOP;
END $$;
