"""The scrape: everything that a process has to tell, as Prometheus reads it."""

import platform
from importlib.metadata import PackageNotFoundError, version

from ledger.bootstrap import Ledger
from ledger.broker.port import Broker
from ledger.measures import Sample
from ledger.observer import Observer
from ledger.telemetry import BUILD_INFO, POOL_CONNECTIONS, Role


class Scrape:
    """Answers the scrapes of one process."""

    def __init__(self, ledger: Ledger, *, role: Role, broker: Broker | None = None) -> None:
        self._database = ledger.database
        self._measures = ledger.instruments.measures
        self._observer = Observer(ledger, role=role, broker=broker)
        self._role = role
        self._about = Sample(BUILD_INFO, (release(), platform.python_version(), role), 1.0)

    async def answer(self, accept: str = "") -> tuple[bytes, str]:
        """Return the metrics and their content type: the text format, or OpenMetrics where that is asked for.

        It says what it can: without the database `ledger_up 0`, and what the process counted itself.
        """
        from ledger.exposition import expose  # noqa: PLC0415 - only where somebody scrapes

        pool = [Sample(POOL_CONNECTIONS, (state,), count) for state, count in self._database.use().items()]
        samples = [self._about, *pool, *self._measures.samples(), *await self._observer.samples()]
        exposed = expose(samples, self._measures, role=self._role, accept=accept)
        return exposed.body, exposed.content_type


def release() -> str:
    """Return the version of the installed release, 0 in a checkout that is not installed."""
    try:
        return version("task-ledger")
    except PackageNotFoundError:
        return "0"
