"""The application on a ledger of its own, which is open as long as the lifespan of whoever serves it."""

from dataclasses import dataclass

from schemathesis.python.asgi import shutdown_lifespans
from starlette.types import ASGIApp, Receive, Scope, Send

from api.app import create_app
from ledger.bootstrap import open_ledger
from ledger.settings import load_settings
from tests.fuzz.inhabitants import SETTINGS


@dataclass(slots=True)
class HostedApi:
    """ASGI application; opens and closes with the lifespan, on the loop of who serves it."""

    url: str
    app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the lifespan, or one request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        assert self.app is not None, "the lifespan has not begun"
        await self.app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with open_ledger(load_settings(database_url=self.url, **SETTINGS)) as ledger:
            self.app = create_app(ledger)
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def close_hosted() -> None:
    """End the lifespan of every application that was searched."""
    shutdown_lifespans()
