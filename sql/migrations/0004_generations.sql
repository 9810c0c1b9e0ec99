-- The next generation of a read model is built in a schema of its own and moves into `projections` when it is done:
-- its tables, indexes and constraints keep their names.
CREATE SCHEMA IF NOT EXISTS projections_next;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'ledger_projector') THEN
        GRANT USAGE, CREATE ON SCHEMA projections_next TO ledger_projector;
    END IF;
END $$;
