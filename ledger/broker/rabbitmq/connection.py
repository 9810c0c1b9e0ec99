"""The connection: opened through aio-pika on demand, opened again after it was lost, its errors translated here.

aio-pika's robust connection restores channels and consumers in tasks of its own, which hides from a publisher
what was in flight and cancels handlers. So a plain one is opened again by whoever needs it next: a publish by the
next publish, consumers by their supervisor. The library connects, negotiates, keeps the heartbeat and makes the
slow calls; the hot frames go past it, in `Channel`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq import ChannelAccessRefused, ChannelLockedResource, ChannelPreconditionFailed

from ledger.broker.rabbitmq.channel import Channel, FrameSink, LossHandler
from ledger.broker.rabbitmq.link import Link
from ledger.errors import BrokerRefusedError, BrokerUnavailableError
from ledger.settings import masked_url

# 404 is not among them: a queue that was deleted a moment ago is declared again by the next attempt.
_REFUSALS = (ChannelAccessRefused, ChannelLockedResource, ChannelPreconditionFailed)


class Connection:
    """A connection to RabbitMQ; every wait on it happens inside `bounded`."""

    def __init__(self, url: str, *, name: str) -> None:
        self.shown_url = masked_url(url)
        self._url = url
        self._name = name
        self._link: Link | None = None
        self._opening = asyncio.Lock()
        self._is_closed = False

    @property
    def is_open(self) -> bool:
        """Whether the connection is up, as far as is known."""
        return self._link is not None and self._link.is_open

    @asynccontextmanager
    async def bounded(self, action: str, *, seconds: float) -> AsyncIterator[None]:
        """Bound what is awaited inside, and translate the library's errors.

        Raises:
            BrokerUnavailableError: no answer in time, or the connection was lost.
            BrokerRefusedError: the broker refused.
        """
        task = asyncio.current_task()
        cancels_before = task.cancelling() if task else 0
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise self._unavailable(action, f"no answer within {seconds:g} s") from error
        except _REFUSALS as error:
            raise BrokerRefusedError(f"RabbitMQ at {self.shown_url} refused {action}: {error}") from error
        except asyncio.CancelledError as error:
            # The library also cancels whoever waits when a connection is closed; only ours is passed on.
            if task is None or task.cancelling() > cancels_before:
                raise
            raise self._unavailable(action, "the connection was closed") from error
        except CONNECTION_EXCEPTIONS as error:
            raise self._unavailable(action, str(error) or type(error).__name__) from error

    async def channel(
        self,
        *,
        confirms: bool = False,
        sink: FrameSink | None = None,
        on_lost: LossHandler | None = None,
    ) -> Channel:
        """Open a channel, and the connection before it where there is none.

        Args:
            confirms: ask the broker to confirm what is published on the channel.
            sink: see `FrameSink`.
            on_lost: see `LossHandler`.
        """
        link = await self._opened()
        raw = await link.channel(confirms=confirms)
        return Channel(raw, writer=link.writer, sink=sink, on_lost=on_lost)

    async def server_version(self) -> str | None:
        """Return what the server says that it is, after connecting where there is no connection."""
        return (await self._opened()).server_version

    async def drop(self) -> None:
        """Cut the connection without a word, because the broker does not answer on it."""
        link, self._link = self._link, None
        if link is not None:
            await link.abort()

    async def close(self) -> None:
        """Close the connection for good; idempotent."""
        self._is_closed = True
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _opened(self) -> Link:
        async with self._opening:
            if self._link is None or not self._link.is_open:
                await self.drop()
                self._check_open()
                self._link = await Link.open(self._url, name=self._name)
            if self._is_closed:
                # Closed while it was being opened: nobody else would ever close this one.
                await self.drop()
            self._check_open()
            return self._link

    def _check_open(self) -> None:
        if self._is_closed:
            raise BrokerUnavailableError(f"the connection to RabbitMQ at {self.shown_url} is closed")

    def _unavailable(self, action: str, reason: str) -> BrokerUnavailableError:
        return BrokerUnavailableError(f"RabbitMQ at {self.shown_url} is not available for {action}: {reason}")
