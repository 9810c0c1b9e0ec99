"""A way to Postgres that loses one answer: that to a COMMIT, which the server has carried out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

_CHUNK = 65_536


@dataclass(slots=True)
class LossyProxy:
    """Passes everything on; the answers to the next commits are lost with their connections.

    Attributes:
        commits_to_lose: how many.
        lost: how many were.
    """

    upstream: str
    port: int = 0
    commits_to_lose: int = 0
    lost: int = 0

    @property
    def url(self) -> str:
        """The URL of the database, by way of this proxy."""
        parts = urlsplit(self.upstream)
        netloc = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{self.port}"
        return urlunsplit(parts._replace(netloc=netloc, query="sslmode=disable"))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Link one client with the server."""
        parts = urlsplit(self.upstream)
        server_reader, server_writer = await asyncio.open_connection(parts.hostname, parts.port)
        silence = asyncio.Event()
        pumps = [
            asyncio.create_task(self._ask(reader, server_writer, silence)),
            asyncio.create_task(self._answer(server_reader, writer, silence)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        server_writer.close()
        writer.close()

    async def _ask(
        self, client: asyncio.StreamReader, server: asyncio.StreamWriter, silence: asyncio.Event
    ) -> None:
        while chunk := await client.read(_CHUNK):
            if self.commits_to_lose and b"COMMIT;" in chunk:
                self.commits_to_lose -= 1
                silence.set()
            server.write(chunk)

    async def _answer(
        self, server: asyncio.StreamReader, client: asyncio.StreamWriter, silence: asyncio.Event
    ) -> None:
        while chunk := await server.read(_CHUNK):
            if silence.is_set():
                self.lost += 1
                return
            client.write(chunk)


@asynccontextmanager
async def lossy_proxy(upstream: str) -> AsyncIterator[LossyProxy]:
    """Open a proxy to the database of a URL."""
    proxy = LossyProxy(upstream)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1")
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await server.wait_closed()
