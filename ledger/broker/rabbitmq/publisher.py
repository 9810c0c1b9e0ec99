"""The publisher: sends runs of messages without waiting in between, and counts what the broker has taken."""

import asyncio
from collections.abc import Sequence

from ledger.broker.rabbitmq.channel import Channel
from ledger.broker.rabbitmq.confirms import Confirms, ConfirmSink
from ledger.broker.rabbitmq.connection import Connection
from ledger.broker.rabbitmq.declarations import QUEUE_LOSS_SECONDS, Declarations
from ledger.broker.rabbitmq.frames import Publication, publish_frames
from ledger.errors import BrokerRefusedError, BrokerUnavailableError

# How much is handed to the socket at once: some 150 events, half a millisecond of encoding.
_CHUNK_BYTES = 65_536


class Publisher:
    """Publishes on a channel of its own, one run after the other."""

    def __init__(self, connection: Connection, declarations: Declarations, *, timeout_seconds: float) -> None:
        self._connection = connection
        self._declarations = declarations
        self._timeout_seconds = timeout_seconds
        self._turn = asyncio.Lock()
        self._channel: Channel | None = None
        self._sink = ConfirmSink()
        self._next_tag = 1
        self._declared: set[str] = set()

    async def publish(self, publications: Sequence[Publication]) -> int:
        """Publish in order and return the length of the prefix that the broker has taken.

        Raises:
            BrokerUnavailableError: it has not taken the first message, or not in time.
            BrokerRefusedError: no queue takes the first message, and it is mandatory; or the server closed the
                channel on it, for example because it is too large.
        """
        if not publications:
            return 0
        runs: list[Confirms] = []
        failure: BrokerUnavailableError | BrokerRefusedError | None = None
        async with self._turn:
            try:
                await self._publish(publications, runs)
            except (BrokerUnavailableError, BrokerRefusedError) as error:
                failure = error
        taken = _prefix(runs)
        if not taken:
            raise failure or _refusal(publications[0], runs)
        return taken

    async def _publish(self, publications: Sequence[Publication], runs: list[Confirms]) -> None:
        channel = await self._opened()
        # Before the first message and not only after a return: somebody else's binding on `#` counts as routed.
        await self._declare({publication.queue for publication in publications if publication.mandatory})
        first = await self._run(channel, publications, runs)
        if not first.returned:
            return
        again = [publications[index] for index in first.returned]
        queues = {publication.queue for publication in again}
        await asyncio.sleep(QUEUE_LOSS_SECONDS)
        self._declared -= queues
        await self._declare(queues)
        await self._run(channel, again, runs)

    async def _opened(self) -> Channel:
        if self._channel is None or not self._channel.is_open:
            # What a server forgot (a lost volume, another server) is declared again on a new channel.
            self._declared.clear()
            await self._declarations.ensure_exchanges()
            async with self._connection.bounded("opening a channel", seconds=self._timeout_seconds):
                sink = ConfirmSink()
                self._channel = await self._connection.channel(confirms=True, sink=sink, on_lost=sink.lose)
                self._sink = sink
                self._next_tag = 1
        return self._channel

    async def _declare(self, queues: set[str]) -> None:
        for queue in sorted(queues - self._declared):
            await self._declarations.ensure_queue(queue)
            self._declared.add(queue)

    async def _run(self, channel: Channel, publications: Sequence[Publication], runs: list[Confirms]) -> Confirms:
        confirms = self._sink.confirms = Confirms(publications, first_tag=self._next_tag)
        runs.append(confirms)
        try:
            async with self._connection.bounded("publishing", seconds=self._timeout_seconds):
                await self._send(channel, publications)
                await confirms.done
        except BaseException:
            # Cancelled too: answers that come late must not be taken for answers to the next run.
            await self._connection.drop()
            raise
        return confirms

    async def _send(self, channel: Channel, publications: Sequence[Publication]) -> None:
        chunk: list[bytes] = []
        chunk_bytes = 0
        for publication in publications:
            frames = publish_frames(
                publication, channel_number=channel.number, frame_bytes_max=channel.frame_bytes_max
            )
            chunk.append(frames)
            chunk_bytes += len(frames)
            if chunk_bytes >= _CHUNK_BYTES:
                await self._write(channel, chunk)
                chunk, chunk_bytes = [], 0
        await self._write(channel, chunk)

    async def _write(self, channel: Channel, chunk: list[bytes]) -> None:
        if not channel.is_open:
            raise ConnectionResetError("the connection was lost")
        # The tags move with the frames, without an await between: a cancelled run leaves the count right.
        self._next_tag += len(chunk)
        channel.write(b"".join(chunk))
        await channel.drain()


def _prefix(runs: Sequence[Confirms]) -> int:
    """Return how much of the first run is taken, where the second published again what came back."""
    if not runs:
        return 0
    first = runs[0]
    came_back = first.returned[runs[1].prefix() :] if len(runs) > 1 else first.returned
    return min((first.answered, *first.refused, *came_back))


def _refusal(publication: Publication, runs: Sequence[Confirms]) -> BrokerUnavailableError | BrokerRefusedError:
    if 0 in runs[0].returned and 0 in runs[-1].returned:
        return BrokerRefusedError(
            f"no queue takes the routing key {publication.routing_key!r} of exchange {publication.exchange}"
        )
    return BrokerUnavailableError(f"RabbitMQ did not take the message {publication.message_id!r}")
