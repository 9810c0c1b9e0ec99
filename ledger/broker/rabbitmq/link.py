"""The link: one connection of aio-pika, from open to lost."""

import asyncio
from contextlib import suppress
from typing import Any, Self

import aio_pika
from aio_pika.connection import make_url
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq import TransportFactory
from aiormq.abc import AbstractChannel
from aiormq.connection import TCPTransportFactory, TLSTransportFactory
from yarl import URL

# A peer that vanished without a word is noticed after about three of these; the URL may say otherwise.
_HEARTBEAT_SECONDS = 15
_CLOSE_SECONDS_MAX = 5.0
_LAST_TURNS = 5


class Link:
    """An open connection of the library, and the socket under it."""

    def __init__(self, connection: aio_pika.Connection, socket: "_Socket") -> None:
        self._connection = connection
        self._socket = socket

    @classmethod
    async def open(cls, url: str, *, name: str) -> Self:
        """Connect; `name` is shown in the broker's list of connections."""
        address = make_url(url)
        if "heartbeat" not in address.query:
            address = address.update_query(heartbeat=_HEARTBEAT_SECONDS)
        connection = aio_pika.Connection(address, client_properties={"connection_name": name})
        socket = _Socket()
        connection.kwargs["transport_factory"] = socket
        link = cls(connection, socket)
        try:
            await connection.connect()
        except BaseException:
            await link.abort()
            raise
        return link

    @property
    def is_open(self) -> bool:
        """Whether the connection is up, as far as is known."""
        transport = self._connection.transport
        return transport is not None and transport.connection.is_opened

    @property
    def writer(self) -> asyncio.StreamWriter:
        """The socket's writer, for whole frames."""
        if self._socket.writer is None:
            raise ConnectionResetError("the socket is closed")
        return self._socket.writer

    @property
    def server_version(self) -> str | None:
        """What the server says that it is."""
        transport = self._connection.transport
        told = None if transport is None else transport.connection.server_properties.get("version")
        return told if isinstance(told, str) else None

    async def channel(self, *, confirms: bool) -> AbstractChannel:
        """Open a channel."""
        transport = self._connection.transport
        if transport is None:
            raise ConnectionResetError("the connection is closed")
        return await transport.connection.channel(publisher_confirms=confirms)

    async def close(self) -> None:
        """Say goodbye to the broker, in time, and close."""
        try:
            await self._close_within(_CLOSE_SECONDS_MAX)
        finally:
            await self.abort()

    async def abort(self) -> None:
        """Cut the socket, and wait until the library has noticed."""
        if self._socket.writer is not None:
            self._socket.writer.transport.abort()
        await self._close_within(_CLOSE_SECONDS_MAX)
        # The library leaves its last task to itself; it needs a few turns of the event loop, and nothing more.
        for _ in range(_LAST_TURNS):
            await asyncio.sleep(0)

    async def _close_within(self, seconds: float) -> None:
        with suppress(TimeoutError, *CONNECTION_EXCEPTIONS):
            async with asyncio.timeout(seconds):
                await self._connection.close()


class _Socket(TransportFactory):
    """Opens the socket as the library would, and keeps its writer."""

    def __init__(self) -> None:
        self.writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:  # noqa: ANN401 - the library's options
        """Open a connection to the server of a URL."""
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self.writer = await factory.create(url, **kwargs)
        return reader, self.writer
