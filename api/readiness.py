"""Whether this process can serve: the database and its schema decide, the rest is reported.

A submit is durable without the broker, and a read falls back to the stream without the projector: their
trouble makes the service degraded, and taking the API out of service for it would make it worse.
"""

import asyncio
from dataclasses import dataclass, field

from pydantic import JsonValue

from ledger.bootstrap import Ledger
from ledger.broker.port import Broker
from ledger.errors import LedgerError
from ledger.migrate import shipped_migrations
from ledger.queries import query

_CHECK_SECONDS_MAX = 3.0
_COUNTED_MAX = 10_000


@dataclass(slots=True)
class Readiness:
    """What was checked; `obstacles` are sentences that keep the process from serving."""

    checks: dict[str, JsonValue] = field(default_factory=dict)
    obstacles: list[str] = field(default_factory=list)
    degraded: bool = False


class ReadinessCheck:
    """Checks everything that a request may need."""

    def __init__(self, ledger: Ledger, broker: Broker | None) -> None:
        self._database = ledger.database
        self._store = ledger.store
        self._broker = broker
        self._shipped = {migration.number for migration in shipped_migrations()}

    async def run(self) -> Readiness:
        """Check, within a few seconds."""
        readiness = Readiness()
        try:
            async with asyncio.timeout(_CHECK_SECONDS_MAX):
                await self._check_database(readiness)
        except (LedgerError, TimeoutError):
            readiness.checks["database"] = {"status": "unavailable"}
            readiness.obstacles.append("the database is out of reach")
        if self._broker is not None:
            await self._check_broker(readiness, self._broker)
        return readiness

    async def _check_database(self, readiness: Readiness) -> None:
        await self._database.ping()
        readiness.checks["database"] = {"status": "ok"}
        if await self._check_schema(readiness):
            await self._check_readers(readiness)

    async def _check_schema(self, readiness: Readiness) -> bool:
        async with self._database.connection() as connection:
            migrated = await connection.fetchval(query("migrations_table_exists"))
            rows = await connection.fetch(query("applied_migrations")) if migrated else []
        applied = {row["number"] for row in rows}
        missing = len(self._shipped - applied)
        readiness.checks["schema"] = {
            "status": "behind" if missing else "ok",
            "version": max(applied, default=0),
            "missing": missing,
        }
        if missing:
            readiness.obstacles.append(f"the database lacks {missing} migrations of this release")
        return not missing

    async def _check_readers(self, readiness: Readiness) -> None:
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("list_checkpoints"))
        lags: dict[str, JsonValue] = {row["name"]: await self._lag(row["position"]) for row in rows}
        readiness.checks["lag_events"] = lags

    async def _lag(self, position: int) -> int:
        async with self._database.connection() as connection:
            counted = int(await connection.fetchval(query("count_events_after"), position, _COUNTED_MAX))
        if counted < _COUNTED_MAX:
            return counted
        # Positions have gaps, so this may say too much, and counting on would cost too much.
        return max(counted, await self._store.safe_position() - position)

    async def _check_broker(self, readiness: Readiness, broker: Broker) -> None:
        try:
            async with asyncio.timeout(_CHECK_SECONDS_MAX):
                await broker.ping()
        except (LedgerError, TimeoutError):
            readiness.checks["broker"] = {"status": "unavailable"}
            readiness.degraded = True
            return
        readiness.checks["broker"] = {"status": "ok"}
