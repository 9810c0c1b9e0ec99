"""The relay as an operator sees it: who leads, who stands by, and how far publishing is behind the log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

import asyncpg

from ledger.bootstrap import Ledger
from ledger.broker.port import Broker, QueueDepth
from ledger.dead_letters.collector import known_queues
from ledger.errors import LedgerError
from ledger.queries import query
from ledger.relay import ROLE

LAG_COUNTED_MAX = 100_000
QUEUES_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A process that leads, or would: its session in the database.

    Attributes:
        process: the name that it gave the session, with its host and process id.
        address: from where it is connected; None where the database does not tell us.
        since: when its session began, and it leads or waits since then or later; None where we are not told.
    """

    backend_pid: int
    process: str | None
    address: str | None
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayStatus:
    """How the relay stands.

    Attributes:
        leader: None while nobody publishes.
        standbys: relays that wait for the lead.
        checkpoint: the position up to which everything is published.
        horizon: the position up to which the log is complete for ever.
        lag_events: how many events of the log are not published, counted up to LAG_COUNTED_MAX.
        lag_seconds: for how long the oldest of these has been in the log; 0 where there is none.
    """

    leader: Candidate | None
    standbys: Sequence[Candidate]
    checkpoint: int
    checkpoint_at: datetime | None
    horizon: int
    lag_events: int
    lag_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerStatus:
    """How the broker stands, as this process reaches it.

    Attributes:
        kind: memory or rabbitmq; None where this process has no broker.
        is_reachable: whether it answers; None where this process has no broker.
        problem: why it does not, in words.
        queues: the depths of its queues.
        queues_left_out: how many task queues were not looked at, because there are more than QUEUES_MAX.
    """

    kind: str | None = None
    version: str | None = None
    is_reachable: bool | None = None
    problem: str | None = None
    queues: Sequence[QueueDepth] = ()
    queues_left_out: int = 0


async def relay_status(ledger: Ledger) -> RelayStatus:
    """Return how the relay stands; raises StoreUnavailableError where the database is out of reach."""
    horizon = await ledger.store.safe_position()
    async with ledger.database.connection() as connection:
        rows = await connection.fetch(query("list_candidates"), ROLE)
        found = await connection.fetchrow(query("relay_lag"), ROLE, LAG_COUNTED_MAX)
    lag = cast("asyncpg.Record", found)  # it answers one row, whatever there is
    leaders = [_candidate(row) for row in rows if row["leads"]]
    return RelayStatus(
        leader=leaders[0] if leaders else None,
        standbys=[_candidate(row) for row in rows if not row["leads"]],
        horizon=max(horizon, lag["checkpoint"]),  # it was asked for first
        checkpoint=lag["checkpoint"],
        checkpoint_at=lag["checkpoint_at"],
        lag_events=lag["lag_events"],
        lag_seconds=lag["lag_seconds"],
    )


async def broker_status(ledger: Ledger, broker: Broker | None) -> BrokerStatus:
    """Return how the broker stands; one that does not answer is told, not raised."""
    if broker is None:
        return BrokerStatus()
    queues = await known_queues(ledger.database)
    shown = queues[:QUEUES_MAX]
    try:
        facts = await broker.describe()
        depths = await broker.depths(shown)
    except LedgerError as error:
        return BrokerStatus(is_reachable=False, problem=str(error))
    return BrokerStatus(
        kind=facts.kind,
        version=facts.version,
        is_reachable=True,
        queues=depths,
        queues_left_out=len(queues) - len(shown),
    )


def _candidate(row: asyncpg.Record) -> Candidate:
    return Candidate(
        backend_pid=row["backend_pid"], process=row["process"], address=row["address"], since=row["since"]
    )
