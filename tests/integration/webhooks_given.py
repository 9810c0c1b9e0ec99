"""What the tests of webhooks begin with: a receiver that is a real HTTP server, and endpoints that point at it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

from ledger.bootstrap import Ledger
from ledger.history.search import EventFilter
from ledger.store.records import Origin
from ledger.webhooks.commands import Kept, Webhooks
from ledger.webhooks.endpoint import Webhook, WebhookDefinition, WebhookStart

ANN = Origin(actor="user:ann")
TEST_SETTINGS = {
    "webhook_allow_private": True,
    "scheduler_interval_seconds": 0.05,
    "poll_interval_seconds": 0.1,
    "webhook_retry_base_seconds": 0,
}


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """Its webhook-id."""
        return self.headers["webhook-id"]


@dataclass(slots=True)
class Receiver:
    """Takes requests and answers each with the next of its answers, then with 204.

    Attributes:
        gate: while it is not set, nothing is answered.
        overlaps: how many requests came while another one was not answered.
    """

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answers: deque[bytes] = field(default_factory=deque)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    open: int = 0
    overlaps: int = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        """The webhook-id of every request, in order."""
        return [one.id for one in self.received]

    def will_answer(self, *statuses: int, headers: str = "", body: str = "") -> None:
        """Answer the next requests so."""
        for status in statuses:
            length = f"Content-Length: {len(body)}\r\n"
            self.answers.append(f"HTTP/1.1 {status} Said\r\n{headers}{length}\r\n{body}".encode())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while True:
                received = await _read(reader)
                self.received.append(received)
                self.overlaps += self.open > 0
                self.open += 1
                await self.gate.wait()
                self.open -= 1
                writer.write(self.answers.popleft() if self.answers else b"HTTP/1.1 204 Said\r\n\r\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Open a receiver that answers at once."""
    receiver = Receiver()
    receiver.gate.set()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        receiver.gate.set()
        server.close()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    return Received(headers, await reader.readexactly(int(headers.get("content-length", 0))))


async def endpoint(ledger: Ledger, url: str, *, name: str = "hook", batch_max: int = 1, **wanted: object) -> Kept:
    """Make an endpoint that starts at the beginning."""
    asked = EventFilter(**wanted)  # type: ignore[arg-type]  # each keyword is a field of its own type
    definition = WebhookDefinition(url=url, wanted=asked, batch_max=batch_max)
    return await Webhooks(ledger).put(name, definition, start=WebhookStart.BEGINNING, reason="a test", origin=ANN)


async def found(ledger: Ledger, name: str = "hook") -> Webhook:
    """Return an endpoint as it stands."""
    return await Webhooks(ledger).find(name)


async def event_ids(ledger: Ledger) -> Sequence[str]:
    """Return the id of every event, by position."""
    horizon = await ledger.store.safe_position()
    return [event.event_id for event in await ledger.store.read_log(after=0, upto=horizon, limit=10_000)]


def positions(receiver: Receiver) -> list[int]:
    """Return the positions of the events that a receiver got one by one."""
    return [int(orjson.loads(one.body)["ledgerposition"]) for one in receiver.received]
