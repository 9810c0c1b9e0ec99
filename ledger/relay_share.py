"""The share of a relay: which of several shards this process leads, when other processes share the work.

Each relay stands for the lead on a session of its own. All of them see who stands, in the same order, and each
leads the stretch of shards that falls to its place in it. So a relay that starts gets its share within a second,
and that of one that dies goes to the others as soon as the database has ended its session. Locks keep it right
meanwhile: a shard that was given up late is waited for. Whatever fails in a process, it gives up all of its
shards and stands again only when the broker answers it.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import asyncpg
import structlog

from ledger.bootstrap import Ledger
from ledger.broker.port import Broker
from ledger.errors import LeadershipLostError
from ledger.leader import STANDBY_SECONDS, prepare_session, together, until_lost
from ledger.outage import Outage
from ledger.queries import query
from ledger.relay_layout import ROLE, lay_out_if_free, name_of, recorded_layout, roster_of, shards_of, take_shard
from ledger.relay_shard import ShardRelay
from ledger.store.shard import LogShard
from ledger.subscription import Subscription

log = structlog.get_logger()

OpenBroker = Callable[[], AbstractAsyncContextManager[Broker]]


def fair_share(count: int, place: int, relays: int) -> range:
    """Return which of `count` shards fall to one of so many relays, by its place among them."""
    return range(place * count // relays, (place + 1) * count // relays)


class RelayShare:
    """Leads the shards that fall to this process.

    Args:
        ledger: where the log is.
        open_broker: gives each shard a connection of its own.
        subscriptions: one for each shard.
        outage: ends whenever all of a shard was published.
    """

    def __init__(
        self, ledger: Ledger, open_broker: OpenBroker, subscriptions: Sequence[Subscription], outage: Outage
    ) -> None:
        self._ledger = ledger
        self._open_broker = open_broker
        self._subscriptions = subscriptions
        self._outage = outage
        self._shards = shards_of(len(subscriptions))
        self._leads: dict[int, asyncio.Task[None]] = {}
        self._relays: dict[int, ShardRelay] = {}

    @property
    def position(self) -> int:
        """How far the slowest of the shards led last had come, as far as is known."""
        return min((relay.position for relay in self._relays.values()), default=0)

    async def run(self, connection: asyncpg.Connection) -> None:
        """Lead for ever what falls to this process, which stands by this session; raise what fails first."""
        try:
            while True:
                await self._take_turn(connection)
                await self._look_after()
        finally:
            await self._give_up(list(self._leads))

    async def _take_turn(self, connection: asyncpg.Connection) -> None:
        count = len(self._shards)
        (found,) = await connection.fetch(query("relay_standing"), roster_of(count))
        if recorded_layout(found["layout"]) != count and not await lay_out_if_free(connection, count):
            return  # relays with another number are at work
        standing, me = found["standing"], connection.get_server_pid()
        if me not in standing:
            raise LeadershipLostError(ROLE)
        share = fair_share(count, standing.index(me), len(standing))
        await self._give_up([index for index in self._leads if index not in share])
        for index in share:
            if index not in self._leads:
                self._leads[index] = asyncio.create_task(self._lead(self._shards[index]))

    async def _look_after(self) -> None:
        if not self._leads:
            await asyncio.sleep(STANDBY_SECONDS)
            return
        done, _ = await asyncio.wait(
            self._leads.values(), timeout=STANDBY_SECONDS, return_when=asyncio.FIRST_EXCEPTION
        )
        for lead in done:
            lead.result()

    async def _give_up(self, indexes: Sequence[int]) -> None:
        given_up = [self._leads.pop(index) for index in indexes]
        for lead in given_up:
            lead.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)

    async def _lead(self, shard: LogShard) -> None:
        async with self._ledger.database.dedicated() as connection:
            await prepare_session(connection, ROLE)
            while not await take_shard(connection, shard):  # noqa: ASYNC110 - the lock is the database's
                await asyncio.sleep(STANDBY_SECONDS)
            async with self._open_broker() as broker:
                relay = self._relays[shard.index] = ShardRelay(self._ledger, broker, shard, self._outage)
                publishing = relay.publish_all(connection, self._subscriptions[shard.index])
                with self._ledger.instruments.measures.leading(ROLE):
                    await together(publishing, until_lost(connection, name_of(shard)))
