"""The relay as an operator sees it: who leads, who stands by, and how far publishing is behind the log."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from ledger.bootstrap import Ledger
from ledger.broker.port import Broker, QueueDepth
from ledger.dead_letters.collector import known_queues
from ledger.errors import LedgerError
from ledger.queries import query
from ledger.relay_layout import SHARDS_MAX, layout_of, names_of, roster_of

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
class ShardStatus:
    """How one of the relay's shards stands; the only one of one is the whole log.

    Attributes:
        shard: its number, from 0 on.
        leader: None while nobody publishes it.
        checkpoint: the position up to which everything of its tasks is published.
        lag_events: how many events of its tasks are not published, as far as they were counted.
        lag_seconds: for how long the oldest of these has been in the log; 0 where there is none.
    """

    shard: int
    leader: Candidate | None
    checkpoint: int
    checkpoint_at: datetime | None
    lag_events: int
    lag_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayStatus:
    """How the relay stands, as a whole and by shards.

    Attributes:
        leader: who publishes the shard that is furthest behind; None while nobody publishes one of them.
        standbys: relays that lead nothing and wait for a lead.
        checkpoint: the position up to which everything is published.
        horizon: the position up to which the log is complete for ever.
        lag_events: how many events of the log are not published, counted up to LAG_COUNTED_MAX.
        lag_seconds: for how long the oldest of these has been in the log; 0 where there is none.
        shards: the shards that the log is divided into.
    """

    leader: Candidate | None
    standbys: Sequence[Candidate]
    checkpoint: int
    checkpoint_at: datetime | None
    horizon: int
    lag_events: int
    lag_seconds: float
    shards: Sequence[ShardStatus]


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
    names = names_of(await layout_of(ledger.database))
    rosters = [roster_of(count) for count in range(1, SHARDS_MAX + 1)]
    async with ledger.database.connection() as connection:
        candidates = await connection.fetch(query("list_candidates"), list({*names, *rosters}))
        lags = await connection.fetch(query("relay_lag"), names, LAG_COUNTED_MAX)
    leaders = {row["role"]: _candidate(row) for row in candidates if row["leads"]}
    shards = [_shard(row, leaders.get(name)) for name, row in zip(names, lags, strict=True)]
    slowest = min(shards, key=lambda shard: shard.checkpoint)
    return RelayStatus(
        leader=slowest.leader if all(shard.leader for shard in shards) else None,
        standbys=_standbys(candidates, leaders.values(), is_shared=len(names) > 1),
        horizon=max(horizon, slowest.checkpoint),  # it was asked for first
        checkpoint=slowest.checkpoint,
        checkpoint_at=slowest.checkpoint_at,
        lag_events=sum(shard.lag_events for shard in shards),
        lag_seconds=max(shard.lag_seconds for shard in shards),
        shards=shards,
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


def _shard(row: asyncpg.Record, leader: Candidate | None) -> ShardStatus:
    return ShardStatus(
        shard=row["index"],
        leader=leader,
        checkpoint=row["checkpoint"],
        checkpoint_at=row["checkpoint_at"],
        lag_events=row["lag_events"],
        lag_seconds=row["lag_seconds"],
    )


def _standbys(
    candidates: Sequence[asyncpg.Record], leaders: Collection[Candidate], *, is_shared: bool
) -> list[Candidate]:
    # With one shard the session that stands leads as well; with several it has others beside it, under its name.
    pids = {leader.backend_pid for leader in leaders}
    processes = {leader.process for leader in leaders} if is_shared else set()
    waiting = (_candidate(row) for row in candidates if not row["leads"])
    return [one for one in waiting if one.backend_pid not in pids and one.process not in processes]
