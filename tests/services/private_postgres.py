"""A Postgres of a test's own, which the test may stop, kill and start again on the same port and data."""

import os
from collections.abc import Mapping
from pathlib import Path
from signal import SIGKILL

from ledger.embedded_postgres import EmbeddedPostgres, PostgresBinaries
from tests.services.processes import processes_within, stable_port, wait_until

# Safe against kill -9, which leaves the kernel's cache alone; only a power loss would lose data.
_FAST = {
    "fsync": "off",
    "full_page_writes": "off",
    "wal_compression": "off",
    "max_connections": "200",
    "autovacuum_naptime": "10s",
}


class PrivatePostgres:
    """A thin handle on an `EmbeddedPostgres` with a fixed port and, unless told otherwise, without fsync."""

    def __init__(
        self, home: Path, *, binaries: PostgresBinaries | None = None, tuning: Mapping[str, str] | None = None
    ) -> None:
        self.home = home
        self.port = stable_port()
        self._server = EmbeddedPostgres(
            home, binaries=binaries, tuning={**_FAST, **(tuning or {})}, port=self.port
        )
        self._url = ""

    @property
    def url(self) -> str:
        """The superuser's URL; it stays the same whether the server runs or not."""
        return self._url

    @property
    def pid(self) -> int | None:
        """The server's process, or None when none runs."""
        return self._server.pid

    def start(self) -> str:
        """Start the server, and return its URL when it answers."""
        self._url = self._server.start()
        return self._url

    def stop(self) -> None:
        """Stop the server in good order; idempotent."""
        self._server.stop()
        self._wait_until_gone()

    def kill(self) -> None:
        """End the server with SIGKILL, as the kernel does when memory runs out; its data stays."""
        if (pid := self.pid) is not None:
            os.kill(pid, SIGKILL)
        self._server.stop()
        self._wait_until_gone()

    def restart(self) -> None:
        """Stop in good order if it runs, and start again on the same port and data."""
        self.stop()
        self.start()

    def _wait_until_gone(self) -> None:
        wait_until(
            lambda: not processes_within(self.home), seconds_max=30, what=f"{self.home} has no process left"
        )
