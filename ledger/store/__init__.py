"""The event store: one port, a memory adapter and a Postgres adapter."""
