"""A Postgres of our own: a child process that lives and ends with us, on data that outlives us both."""

from ledger.embedded_postgres.binaries import BinariesSource, PostgresBinaries, find_binaries
from ledger.embedded_postgres.running import running_url
from ledger.embedded_postgres.server import EmbeddedPostgres

__all__ = ["BinariesSource", "EmbeddedPostgres", "PostgresBinaries", "find_binaries", "running_url"]
