-- Least privilege, one group role a process; a login is made a member of the one that it needs.
-- Roles belong to the whole cluster, so they may exist already, or the migrating user may not make any:
-- then the ledger works without them and the triggers still hold.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['ledger_api', 'ledger_worker', 'ledger_relay', 'ledger_scheduler',
                                     'ledger_projector', 'ledger_auditor'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role % was not made: this user may not create roles', role_name;
        END;
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name);
        EXECUTE format('GRANT USAGE ON SCHEMA ledger, projections TO %I', role_name);
        EXECUTE format('GRANT SELECT ON ledger.events, ledger.checkpoints, ledger.workers, ledger.stale_writes,
            ledger.schema_migrations TO %I', role_name);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA projections TO %I', role_name);
        IF role_name IN ('ledger_api', 'ledger_worker', 'ledger_scheduler') THEN
            EXECUTE format('GRANT INSERT ON ledger.events TO %I', role_name);
            EXECUTE format('GRANT USAGE ON SEQUENCE ledger.position_seq TO %I', role_name);
        END IF;
        IF role_name IN ('ledger_api', 'ledger_worker') THEN
            EXECUTE format('GRANT INSERT ON ledger.stale_writes TO %I', role_name);
        END IF;
        IF role_name IN ('ledger_worker', 'ledger_scheduler') THEN
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ledger.workers TO %I', role_name);
        END IF;
        IF role_name = 'ledger_scheduler' THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION ledger.prepare_partitions(integer) TO %I', role_name);
        END IF;
        IF role_name IN ('ledger_relay', 'ledger_projector', 'ledger_scheduler') THEN
            EXECUTE format('GRANT INSERT, UPDATE, DELETE ON ledger.checkpoints TO %I', role_name);
        END IF;
        IF role_name = 'ledger_projector' THEN
            EXECUTE format('GRANT CREATE ON SCHEMA projections TO %I', role_name);
        END IF;
    END LOOP;
END $$;
