"""The layout of the relay: among how many shards the log is divided, as the names of their checkpoints record it.

    relay                       one: the whole log, with the lead and the checkpoint that every release knows
    relay:0/4 … relay:3/4       four

Whoever leads a shard of several shares the lead `relay` as well, and whoever leads the whole log, or divides it
anew, has that lead alone. So no two layouts are ever at work at the same time, whatever the settings of relays
say, and a relay of a release that knows no shards is kept out too. Another layout is recorded as soon as nobody
leads, in one transaction: each of its shards starts where the slowest of the former ones was. Events are
repeated, none is lost.
"""

from collections.abc import Collection, Sequence

import asyncpg
import structlog

from ledger.leader import try_lead
from ledger.queries import query
from ledger.store.connection import Database
from ledger.store.shard import LogShard

log = structlog.get_logger()

ROLE = "relay"
SHARDS_MAX = 16


def shards_of(count: int) -> Sequence[LogShard]:
    """Return the shards of a layout."""
    return [LogShard(index, count) for index in range(count)]


def name_of(shard: LogShard) -> str:
    """Return the name of a shard's lead and checkpoint."""
    return ROLE if shard.count == 1 else f"{ROLE}:{shard.index}/{shard.count}"


def names_of(count: int) -> list[str]:
    """Return the names of all shards of a layout."""
    return [name_of(shard) for shard in shards_of(count)]


def roster_of(count: int) -> str:
    """Return under which name relays stand that share the work on a layout."""
    return ROLE if count == 1 else f"{ROLE}/{count}"


def recorded_layout(names: Collection[str]) -> int | None:
    """Return how many shards these checkpoints are of; None where they are of no layout, or of more than one."""
    return next((count for count in range(1, SHARDS_MAX + 1) if set(names) == set(names_of(count))), None)


async def layout_of(database: Database) -> int:
    """Return how many shards the ledger records; 1 where it records none yet."""
    async with database.connection() as connection:
        rows = await connection.fetch(query("read_relay_layout"))
    return recorded_layout([row["name"] for row in rows]) or 1


async def take_shard(connection: asyncpg.Connection, shard: LogShard) -> bool:
    """Take the lead of one of several shards for the session, unless it is taken or the layout is another."""
    if not await connection.fetchval(query("try_share_lead"), ROLE):
        return False
    names = [row["name"] for row in await connection.fetch(query("read_relay_layout"))]
    if recorded_layout(names) == shard.count and await try_lead(connection, name_of(shard)):
        return True
    await connection.execute(query("give_up_leads"))
    return False


async def lay_out_if_free(connection: asyncpg.Connection, count: int) -> bool:
    """Record a layout of several shards unless somebody leads; return whether it was recorded."""
    if not await try_lead(connection, ROLE):
        return False
    try:
        await lay_out(connection, count)
    finally:
        await connection.execute(query("give_up_lead"), ROLE)
    return True


async def lay_out(connection: asyncpg.Connection, count: int) -> None:
    """Record a layout on the session that leads the whole relay, unless it is recorded already."""
    rows = await connection.fetch(query("read_relay_layout"))
    former = {row["name"]: row["position"] for row in rows}
    if recorded_layout(former) == count:
        return
    position = _start(former)
    async with connection.transaction():
        await connection.execute(query("drop_relay_layout"))
        await connection.execute(query("make_relay_layout"), names_of(count), position)
    log.info("relay.laid_out", shards=count, position=position, former=sorted(former))


async def tell_of_another_layout(database: Database, count: int) -> None:
    """Warn where the ledger has another layout than a relay's setting: it lasts until its relays have stopped."""
    async with database.connection() as connection:
        names = [row["name"] for row in await connection.fetch(query("read_relay_layout"))]
    if names and recorded_layout(names) != count:
        log.warning(
            "relay.layout_differs",
            setting="LEDGER_RELAY_SHARDS",
            value=count,
            recorded=recorded_layout(names),
            reason="the log is divided anew as soon as no relay with another number leads",
        )


def _start(former: dict[str, int]) -> int:
    # A shard whose checkpoint somebody removed has published nothing that we know of.
    is_whole = any(former.keys() >= set(names_of(count)) for count in range(1, SHARDS_MAX + 1))
    return min(former.values()) if is_whole else 0
