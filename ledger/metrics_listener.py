"""The metrics listener: GET /metrics and /health for the roles that have no HTTP of their own; off by default.

It reads one request a connection and closes it: enough for a scraper and a probe, and little to go wrong.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from ledger.bootstrap import Ledger
from ledger.broker.port import Broker
from ledger.errors import ConfigurationError
from ledger.scrape import Scrape
from ledger.telemetry import Role

log = structlog.get_logger()

_HEAD_BYTES_MAX = 16_384
_READ_SECONDS_MAX = 5.0
_ANSWER_SECONDS_MAX = 30.0
_AT_ONCE_MAX = 16
_TEXT = "text/plain; charset=utf-8"


@asynccontextmanager
async def serving_metrics(
    ledger: Ledger, *, role: Role, broker: Broker | None = None
) -> AsyncIterator[int | None]:
    """Serve while the context is open, and yield the port; with LEDGER_METRICS_PORT 0 there is none.

    Raises:
        ConfigurationError: the host and port cannot be listened on.
    """
    settings = ledger.settings
    if settings.metrics_port == 0:
        yield None
        return
    async with listening(
        Scrape(ledger, role=role, broker=broker), settings.metrics_host, settings.metrics_port
    ) as port:
        log.info("metrics.serving", host=settings.metrics_host, port=port)
        yield port


@asynccontextmanager
async def listening(scrape: Scrape, host: str, port: int) -> AsyncIterator[int]:
    """Listen, and yield the port; with 0 the system chooses it.

    Raises:
        ConfigurationError: the host and port cannot be listened on.
    """
    listener = _Listener(scrape)
    try:
        server = await asyncio.start_server(listener.serve, host, port, limit=_HEAD_BYTES_MAX)
    except OSError as error:
        raise ConfigurationError(
            f"LEDGER_METRICS_PORT must be free and LEDGER_METRICS_HOST this machine's, got {host}:{port}:"
            f" {error.strerror or error}"
        ) from error
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await listener.close()


class _Listener:
    """Serves connections, some at once; further ones are closed unread."""

    def __init__(self, scrape: Scrape) -> None:
        self._scrape = scrape
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        if task is None or len(self._serving) >= _AT_ONCE_MAX:
            writer.close()
            return
        self._serving.add(task)
        try:
            await self._answer(reader, writer)
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
            pass  # whoever asked is gone, too slow, or no HTTP client
        except Exception:  # a defect of ours must not end the role
            log.exception("metrics.failed")
        finally:
            self._serving.discard(task)
            writer.close()

    async def close(self) -> None:
        """End what is being served."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_READ_SECONDS_MAX):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        async with asyncio.timeout(_ANSWER_SECONDS_MAX):
            status, content_type, body = await self._page(head)
            writer.write(
                f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
                "cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n".encode(
                    "latin-1"
                )
            )
            if not head[0].startswith("HEAD "):
                writer.write(body)
            await writer.drain()

    async def _page(self, head: list[str]) -> tuple[str, str, bytes]:
        method, _, target = head[0].partition(" ")
        path = target.partition(" ")[0].partition("?")[0]
        if method not in ("GET", "HEAD"):
            return "405 Method Not Allowed\r\nallow: GET, HEAD", _TEXT, b"only GET is answered here\n"
        if path == "/health":
            return "200 OK", "application/json", b'{"status":"ok"}'
        if path == "/metrics":
            body, content_type = await self._scrape.answer(_accepted(head[1:]))
            return "200 OK", content_type, body
        return "404 Not Found", _TEXT, b"there is /metrics and /health\n"


def _accepted(headers: list[str]) -> str:
    for header in headers:
        name, _, value = header.partition(":")
        if name.strip().lower() == "accept":
            return value.strip()
    return ""
