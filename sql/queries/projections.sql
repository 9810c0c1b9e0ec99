-- name: batch_of_positions
-- The beginning of a fold statement: the batch between two positions. The upper one comes from safe_position().
WITH batch AS (
    SELECT task_id, version, position, type, kind, queue, data, recorded_at, correlation_id
      FROM ledger.events
     WHERE position > $1 AND position <= $2
     ORDER BY task_id, version
)

-- name: batch_of_tasks
-- The beginning of a fold statement: the whole streams of a range of tasks, up to a position.
WITH batch AS (
    SELECT task_id, version, position, type, kind, queue, data, recorded_at, correlation_id
      FROM ledger.events
     WHERE task_id >= $1 AND task_id <= $2 AND position <= $3
     ORDER BY task_id, version
)

-- name: batch_of_kept_tasks
-- The same of months that are kept beside the log. It comes second in its transaction: the first one holds on to the
-- log, so no month moves in between.
WITH batch AS (
    SELECT task_id, version, position, type, kind, queue, data, recorded_at, correlation_id
      FROM archive.events
     WHERE task_id >= $1 AND task_id <= $2 AND position <= $3
     ORDER BY task_id, version
)

-- name: batch_of_streams
-- The beginning of a fold statement: the whole streams of these tasks, up to a position.
WITH batch AS (
    SELECT task_id, version, position, type, kind, queue, data, recorded_at, correlation_id
      FROM ledger.events
     WHERE task_id = ANY ($1::uuid[]) AND position <= $2
     ORDER BY task_id, version
)

-- name: enter_generation
-- For this transaction: read models are found in schema $1, and a fold is planned for what it is, a batch. It looks
-- up rows by key and never reads a whole table, however few events the planner's statistics know of; it takes events
-- in the order that they are read in. What a crash takes back is folded again, so nothing waits for the disk.
SELECT set_config('search_path', $1, true), set_config('plan_cache_mode', 'force_generic_plan', true),
       set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
       set_config('enable_seqscan', 'off', true), set_config('enable_hashagg', 'off', true),
       set_config('max_parallel_workers_per_gather', '0', true), set_config('work_mem', '64MB', true),
       set_config('synchronous_commit', 'off', true);

-- name: plan_for_plain_streams
-- For this transaction: streams are read along the key and met side by side, whatever the statistics say.
SELECT set_config('enable_mergejoin', 'on', true), set_config('enable_nestloop', 'off', true),
       set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true);

-- name: plan_for_batches
-- For this transaction: a batch looks up rows by key (again).
SELECT set_config('enable_mergejoin', 'off', true), set_config('enable_nestloop', 'on', true),
       set_config('enable_bitmapscan', 'on', true), set_config('enable_sort', 'on', true);

-- name: allow_long_statements
-- For this transaction: the server does not cut short what is known to take long; several sessions share the work, so
-- none of them calls for workers of its own.
SELECT set_config('statement_timeout', '0', true), set_config('maintenance_work_mem', '256MB', true),
       set_config('max_parallel_maintenance_workers', '0', true);

-- name: allow_any_plan
-- For this transaction: whole tables are compared, so reading whole tables is right (again).
SELECT set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true),
       set_config('enable_seqscan', 'on', true), set_config('enable_hashagg', 'on', true),
       set_config('plan_cache_mode', 'auto', true);

-- name: generation_mark
-- What the table's comment says about who made it; no row where there is no such table.
SELECT coalesce(obj_description(class.oid, 'pg_class'), '')
  FROM pg_class AS class
  JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
 WHERE namespace.nspname = $1 AND class.relname = $2;

-- name: lock_checkpoint
-- How far a projection has come. Whoever holds this lock is the only one who folds into it.
SELECT position FROM ledger.checkpoints WHERE name = $1 FOR UPDATE;

-- name: set_checkpoint
-- For a generation that was just made or moved.
INSERT INTO ledger.checkpoints (name, position) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET position = excluded.position, updated_at = clock_timestamp();

-- name: drop_checkpoint
-- For a generation that is no more.
DELETE FROM ledger.checkpoints WHERE name = $1;

-- name: steps_done
-- The steps of a rebuild that are done, each with the horizon that it folded up to.
SELECT name, position FROM ledger.checkpoints WHERE starts_with(name, $1);

-- name: forget_steps
-- For a rebuild that is done, or begins anew.
DELETE FROM ledger.checkpoints WHERE starts_with(name, $1);

-- name: next_batch
-- The end and the size of the next batch of at most $3 events, and the first event in it that the fold does not know:
-- $4 has the newest schema version that it knows of each type.
SELECT max(position) AS upto, count(*) AS events,
       min(position) FILTER (WHERE (($4::jsonb ->> type)::integer >= schema_version) IS NOT TRUE) AS unknown
  FROM (SELECT position, type, schema_version
          FROM ledger.events
         WHERE position > $1 AND position <= $2
         ORDER BY position
         LIMIT $3) AS batch;

-- name: event_at
-- What kind of event stands at a position.
SELECT type, schema_version FROM ledger.events WHERE position = $1;

-- name: count_events_by_type
-- What a rebuild has before it.
SELECT type, schema_version, count(*) AS events
  FROM (SELECT type, schema_version FROM ledger.events WHERE position <= $1
        UNION ALL
        SELECT type, schema_version FROM archive.events WHERE position <= $1) AS event
 GROUP BY type, schema_version
 ORDER BY type, schema_version;

-- name: last_task_of_slice
-- The task with the $2-th event from task $1 on; no row where there are fewer.
SELECT task_id
  FROM (SELECT task_id, version FROM ledger.events WHERE task_id >= $1
        UNION ALL
        SELECT task_id, version FROM archive.events WHERE task_id >= $1) AS event
 ORDER BY task_id, version OFFSET $2 - 1 LIMIT 1;

-- name: months_out_of_reach
-- The archived months that a fold cannot read: those without a table, or with $1 those beside the log too.
SELECT to_char(month, 'YYYY-MM') FROM ledger.archived_months WHERE is_dropped OR $1 ORDER BY month;

-- name: read_model_position
-- How far a projection has come, the age of the first event that it has not folded yet, and how many there are.
SELECT checkpoint.position,
       (SELECT clock_timestamp() - event.recorded_at
          FROM ledger.events AS event
         WHERE event.position > checkpoint.position AND event.position <= $2
         ORDER BY event.position
         LIMIT 1) AS lag,
       (SELECT count(*)
          FROM ledger.events AS event
         WHERE event.position > checkpoint.position AND event.position <= $2) AS events_behind
  FROM ledger.checkpoints AS checkpoint
 WHERE checkpoint.name = $1;

-- name: drop_table_statements
-- The statements that drop these tables of a schema; the server quotes their names.
SELECT format('DROP TABLE IF EXISTS %I.%I', $1::text, name) FROM unnest($2::text[]) AS tables (name);

-- name: move_table_statements
-- The statements that move these tables from one schema to another.
SELECT format('ALTER TABLE %I.%I SET SCHEMA %I', $1::text, name, $2::text) FROM unnest($3::text[]) AS tables (name);

-- name: set_aside_statements
-- The statements that free the names of these tables of a schema. Under the eyes of their readers: wait until no vacuum
-- works on them, nor on those of schema $3 that take their place, and rename what belongs to them. Then, as step 3,
-- rename the tables themselves and move them to schema $3; while that waits for a lock, readers wait behind it.
WITH past AS (
    SELECT class.oid, class.relname AS name
      FROM pg_class AS class
      JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
     WHERE namespace.nspname = $1 AND class.relname = ANY ($2::text[])
), belongings AS (
    SELECT 'INDEX' AS kind, class.relname AS name, class.oid
      FROM pg_index AS index
      JOIN pg_class AS class ON class.oid = index.indexrelid
     WHERE index.indrelid IN (SELECT oid FROM past)
     UNION ALL
    SELECT 'SEQUENCE', class.relname, class.oid
      FROM pg_depend AS depends
      JOIN pg_class AS class ON class.oid = depends.objid AND class.relkind = 'S'
     WHERE depends.classid = 'pg_class'::regclass AND depends.refclassid = 'pg_class'::regclass
       AND depends.deptype IN ('a', 'i') AND depends.refobjid IN (SELECT oid FROM past)
     UNION ALL
    SELECT 'STATISTICS', stxname, oid FROM pg_statistic_ext WHERE stxrelid IN (SELECT oid FROM past)
)
SELECT 1 AS step, format('LOCK TABLE %I.%I IN SHARE UPDATE EXCLUSIVE MODE', $1::text, name) AS statement
  FROM past
 UNION ALL
SELECT 1, format('LOCK TABLE %I.%I IN ACCESS EXCLUSIVE MODE', $3::text, name)
  FROM unnest($2::text[]) AS tables (name)
 UNION ALL
SELECT 2, format('ALTER %s %I.%I RENAME TO %I', kind, $1::text, name, 'past_' || oid)
  FROM belongings
 UNION ALL
SELECT 3, format('ALTER TABLE %I.%I RENAME TO %I; ALTER TABLE %I.%I SET SCHEMA %I',
                 $1::text, name, 'past_' || oid, $1::text, 'past_' || oid, $3::text)
  FROM past
 ORDER BY step, statement;

-- name: drop_past_statements
-- The statements that drop what swaps have set aside in a schema, as far as this user may.
SELECT format('DROP TABLE IF EXISTS %I.%I', $1::text, class.relname)
  FROM pg_class AS class
  JOIN pg_namespace AS namespace ON namespace.oid = class.relnamespace
 WHERE namespace.nspname = $1 AND class.relkind = 'r' AND class.relname ~ '^past_[0-9]+$'
   AND pg_has_role(class.relowner, 'USAGE');

-- name: analyze_statements
-- The statements that tell the planner about these tables.
SELECT format('ANALYZE %I.%I', $1::text, name) FROM unnest($2::text[]) AS tables (name);

-- name: share_table_statements
-- The statements that mark the tables with who made them, let every role read them and let the projector's role write
-- them: as their owner where this user may give them away (a swap drops tables, and only an owner can), else by grant.
SELECT statement
  FROM unnest($2::text[]) AS tables (name)
 CROSS JOIN LATERAL (
       SELECT 1 AS step, format('COMMENT ON TABLE %I.%I IS %L', $1::text, name, $3::text) AS statement
        UNION ALL
       SELECT 2, format('GRANT SELECT ON %I.%I TO %I', $1::text, name, rolname)
         FROM pg_roles
        WHERE rolname IN ('ledger_api', 'ledger_worker', 'ledger_relay', 'ledger_scheduler', 'ledger_projector',
                          'ledger_auditor')
        UNION ALL
       SELECT 3, format('GRANT INSERT, UPDATE, DELETE ON %I.%I TO %I', $1::text, name, rolname)
         FROM pg_roles
        WHERE rolname = 'ledger_projector'
        UNION ALL
       SELECT 4, format('ALTER TABLE %I.%I OWNER TO %I', $1::text, name, rolname)
         FROM pg_roles
        WHERE rolname = 'ledger_projector' AND rolname <> current_user
          AND has_schema_privilege(rolname, $1::text, 'CREATE')
          AND pg_has_role(rolname, 'USAGE')
          AND pg_has_role(rolname, CASE WHEN current_setting('server_version_num')::integer >= 160000
                                        THEN 'SET' ELSE 'MEMBER' END)) AS task
 ORDER BY name, step;
