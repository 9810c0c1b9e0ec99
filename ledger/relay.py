"""The relay: publishes the log to the broker, alone or as one of several that share its shards.

With one shard (LEDGER_RELAY_SHARDS) one relay leads and the others stand by. With more, every relay leads some of
them (ledger.relay_share), each on a session and a broker connection of its own, so that several processes publish
at the same time. How the log is divided is recorded in the ledger (ledger.relay_layout), how a shard is published
stands in ledger.relay_shard.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import asyncpg

from ledger.bootstrap import Ledger
from ledger.broker.port import Broker
from ledger.errors import ConfigurationError, LedgerError
from ledger.leader import leading, prepare_session, stand_for, together, until_lost, while_leading
from ledger.outage import Outage
from ledger.relay_layout import (
    ROLE,
    lay_out,
    lay_out_if_free,
    roster_of,
    shards_of,
    take_shard,
    tell_of_another_layout,
)
from ledger.relay_shard import ShardRelay
from ledger.relay_share import OpenBroker, RelayShare
from ledger.store.shard import WHOLE_LOG, LogShard
from ledger.subscription import Subscription, subscribe, subscribe_each
from ledger.telemetry import LEADER

__all__ = ["ROLE", "Relay"]


class Relay:
    """Publishes every event of the ledger at least once, in order within its task.

    Args:
        ledger: where the log is.
        broker: where it is published.
        open_broker: opens another connection to it for each shard; without it, all shards publish on `broker`.
    """

    def __init__(self, ledger: Ledger, broker: Broker, open_broker: OpenBroker | None = None) -> None:
        settings = ledger.settings
        self._ledger = ledger
        self._broker = broker
        self._open_broker = open_broker or self._lend_broker
        self._shards = shards_of(settings.relay_shards)
        self._outage = Outage(ROLE, retry_seconds_max=settings.broker_retry_seconds_max)
        self._whole = ShardRelay(ledger, broker, WHOLE_LOG, self._outage)
        self._position = 0  # the last one known, for the log lines of an outage
        self._poll_seconds = settings.poll_interval_seconds
        self._measures = ledger.instruments.measures
        self._measures.set(LEADER, 0, ROLE)

    async def run_once(self) -> int:
        """Publish what is in the log now and return how many events that were; not what another relay leads."""
        async with self._subscribed() as subscription:
            return sum([await self._publish_once(shard, subscription) for shard in self._shards])

    async def run(self) -> None:
        """Publish for ever while this process leads, stand by while others do; outlives every outage."""
        while True:
            try:
                if not self._outage.is_on:
                    await tell_of_another_layout(self._ledger.database, len(self._shards))
                if len(self._shards) == 1:
                    await while_leading(self._ledger.database, ROLE, self._lead)
                else:
                    await self._share()
            except ConfigurationError:
                raise
            except LedgerError as error:
                # Whatever went wrong, the lead is given up: a relay that stands by may fare better.
                await self._outage.wait(error, position=self._position)

    async def _lead(self, connection: asyncpg.Connection) -> None:
        await lay_out(connection, 1)
        with self._measures.leading(ROLE):
            try:
                async with self._subscribed() as subscription:
                    await self._whole.publish_all(connection, subscription)
            finally:
                self._position = self._whole.position

    async def _share(self) -> None:
        await self._broker.ping()  # who cannot publish does not stand: its share is left to the others
        count = len(self._shards)
        async with (
            self._ledger.database.dedicated() as connection,
            subscribe_each(self._ledger.store, count, poll_interval_seconds=self._poll_seconds) as subscriptions,
        ):
            await prepare_session(connection, ROLE)
            await stand_for(connection, roster_of(count))
            share = RelayShare(self._ledger, self._open_broker, subscriptions, self._outage)
            try:
                await together(share.run(connection), until_lost(connection, ROLE))
            finally:
                self._position = share.position

    async def _publish_once(self, shard: LogShard, subscription: Subscription) -> int:
        async with self._led(shard) as connection:
            if connection is None:
                return 0
            if shard.count == 1:
                return await self._whole.publish_now(connection, subscription)
            relay = ShardRelay(self._ledger, self._broker, shard, self._outage)
            return await relay.publish_now(connection, subscription)

    @asynccontextmanager
    async def _led(self, shard: LogShard) -> AsyncIterator[asyncpg.Connection | None]:
        if shard.count == 1:
            async with leading(self._ledger.database, ROLE) as connection:
                if connection is not None:
                    await lay_out(connection, 1)
                yield connection
            return
        async with self._ledger.database.dedicated() as connection:
            await prepare_session(connection, ROLE)
            is_led = await take_shard(connection, shard) or (
                await lay_out_if_free(connection, shard.count) and await take_shard(connection, shard)
            )
            yield connection if is_led else None

    def _subscribed(self) -> AbstractAsyncContextManager[Subscription]:
        return subscribe(self._ledger.store, poll_interval_seconds=self._poll_seconds)

    @asynccontextmanager
    async def _lend_broker(self) -> AsyncIterator[Broker]:
        yield self._broker
