"""The frame around every request: the headers that every response has, and the answer to every error."""

import time

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import tell
from api.request_meter import RequestMeter

log = structlog.get_logger()

# An answer is data: nothing in it is to be run, framed or guessed at. A page sends a policy of its own.
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_UNCACHED = (b"cache-control", b"no-store")
_NOT_SNIFFED = (b"x-content-type-options", b"nosniff")


class Frame:
    """ASGI middleware; kept to one wrapper, because every submit goes through it.

    Args:
        route: the template of the path, where it is always the same; else the router tells.
    """

    def __init__(self, app: ASGIApp, meter: RequestMeter, *, route: str | None = None) -> None:
        self._app = app
        self._meter = meter
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        began = time.perf_counter()

        async def send_framed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = _framed(message["headers"])
                self._meter.note(scope, message["status"], time.perf_counter() - began, route=self._route)
            await send(message)

        try:
            await self._app(scope, receive, send_framed)
        except ClientDisconnect:
            log.debug("request.abandoned", path=scope["path"])
        except Exception as error:
            if started:  # too late for an answer: the server has to break the connection
                raise
            response = await tell(Request(scope), error)
            await response(scope, receive, send_framed)


def _framed(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    names = {name for name, _ in headers}
    defaults = [header for header in (_POLICY, _UNCACHED) if header[0] not in names]
    return [*headers, _NOT_SNIFFED, *defaults]
