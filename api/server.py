"""The HTTP server: uvicorn on a loop that it shares with others, stopped by an event and not by signals."""

import asyncio
import errno
import gc
import math
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp

from api.departure import LEAVING
from ledger.errors import ConfigurationError
from ledger.settings import Settings

_BACKLOG = 2048
# Longer than the idle time of the usual load balancers, which else meet a connection that we just closed.
_KEEP_ALIVE_SECONDS = 75
_UNREAD_SECONDS = 1.0


async def serve(
    app: ASGIApp, settings: Settings, *, stop: asyncio.Event, started: Callable[[int], None] | None = None
) -> None:
    """Serve until `stop` is set, then answer what is in flight, within LEDGER_SHUTDOWN_GRACE_SECONDS.

    `started` is called with the port once requests are taken; with PORT 0 the system chooses it.

    Raises:
        ConfigurationError: the host and port cannot be listened on.
    """
    async with serving(app, settings) as port:
        if started is not None:
            started(port)
        await stop.wait()


@asynccontextmanager
async def serving(app: ASGIApp, settings: Settings) -> AsyncIterator[int]:
    """Serve while the context is open, and yield the port."""
    listener = _listen(settings.host, settings.port)
    port: int = listener.getsockname()[1]
    server = _Server(_configuration(app, settings))
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await server.started_or_failed.wait()
        if running.done():
            running.result()
        _settle_memory()
        yield port
    finally:
        server.leaving.set()  # what waits is answered now, and streams end: uvicorn itself would wait for them
        server.should_exit = True
        await running


def _settle_memory() -> None:
    # What is there by now stays. Collecting it over and over stops every request for 50 ms, many times a minute.
    gc.collect()
    gc.freeze()


class _Server(uvicorn.Server):
    """Uvicorn without its hands on the process's signals, which belong to `ledger.process`."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.started_or_failed = asyncio.Event()
        self.leaving = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state[LEAVING] = self.leaving
        try:
            await super().startup(sockets)
        finally:
            self.started_or_failed.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        cutting = asyncio.create_task(self._cut_unread())
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()

    async def _cut_unread(self) -> None:
        # A connection is closed when its client has read everything, and a client may never do that.
        while True:
            await asyncio.sleep(_UNREAD_SECONDS)
            for connection in list(self.server_state.connections):
                if connection.transport is not None and connection.transport.is_closing():
                    connection.transport.abort()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _configuration(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_grace_seconds),
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listener = socket.create_server((str(address[0]), port), family=family, backlog=_BACKLOG)
    except socket.gaierror as error:
        raise ConfigurationError(f"LEDGER_HOST must be an address of this machine, got {host!r}") from error
    except OSError as error:
        raise ConfigurationError(_refusal(host, port, error)) from error
    return listener


def _refusal(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"PORT must be free, got {port}: another process listens on {host}:{port}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"LEDGER_HOST must be an address of this machine, got {host!r}"
    return f"cannot listen on {host}:{port}: {error.strerror}"
