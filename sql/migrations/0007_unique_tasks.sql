-- The task that was the last to take a unique key within its kind. It holds the key only while its stream is
-- unfinished; the scheduler deletes the rows of the others.
CREATE TABLE ledger.unique_tasks (
    kind       text COLLATE "C" NOT NULL,
    unique_key text COLLATE "C" NOT NULL,
    task_id    uuid             NOT NULL,
    PRIMARY KEY (kind, unique_key)
);

-- Whether a task is to go on, by its stream and not by a read model that lags behind: its last event that begins or
-- ends something says so. A task without events is not.
CREATE FUNCTION ledger.is_unfinished(task uuid) RETURNS boolean LANGUAGE sql STABLE STRICT AS $$
    SELECT coalesce((
        SELECT type IN ('task.submitted', 'task.retried')
               OR type = 'task.failed' AND data ->> 'retry_at' IS NOT NULL
          FROM ledger.events
         WHERE task_id = task
           AND type IN ('task.submitted', 'task.retried', 'task.completed', 'task.failed', 'task.cancelled')
         ORDER BY version DESC
         LIMIT 1), false)
$$;

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ledger_api', 'ledger_worker', 'ledger_scheduler', 'ledger_auditor'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
        EXECUTE format('GRANT SELECT ON ledger.unique_tasks TO %I', role_name);
        IF role_name <> 'ledger_auditor' THEN
            EXECUTE format('GRANT INSERT, UPDATE ON ledger.unique_tasks TO %I', role_name);
        END IF;
        IF role_name = 'ledger_scheduler' THEN
            EXECUTE format('GRANT DELETE ON ledger.unique_tasks TO %I', role_name);
        END IF;
    END LOOP;
END $$;
