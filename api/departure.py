"""Departure: how a request that takes its time learns that it must not, or need not, go on.

The client has gone, the server stops, or whoever sent it would not be let in any more.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

from starlette.types import Receive, Scope

from api.errors import NotAuthenticatedError
from api.stays import Stay, staying

# Under this name a request's state has the event that says that the server stops; without a server there is none.
LEAVING = "leaving"

Done = TypeVar("Done")


class Departure:
    """What is known of the departure of both sides; made by `departing`.

    Attributes:
        is_leaving: the server stops.
        is_over: the caller would not be let in any more.
    """

    def __init__(self) -> None:
        self._happened = asyncio.Event()
        self.is_leaving = False
        self.is_over = False

    async def outrun(self, work: Coroutine[object, object, Done]) -> Done | None:
        """Return what the work returns; None where somebody departs first, which cancels it."""
        working = asyncio.create_task(work)
        departed = asyncio.create_task(self._happened.wait())
        try:
            await asyncio.wait((working, departed), return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            working.cancel()
            departed.cancel()
            await asyncio.gather(working, departed, return_exceptions=True)

    async def watch_client(self, receive: Receive) -> None:
        """Return when the client has gone."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self._happened.set()

    async def watch_server(self, leaving: asyncio.Event) -> None:
        """Return when the server stops."""
        await leaving.wait()
        self.is_leaving = True
        self._happened.set()

    async def watch_stay(self, stay: Stay) -> None:
        """Return when the caller would not be let in any more."""
        await stay.over.wait()
        self.is_over = True
        self._happened.set()

    def check_stay(self) -> None:
        """Raise NotAuthenticatedError where the caller would not be let in any more."""
        if self.is_over:
            raise NotAuthenticatedError(presented=True)


@asynccontextmanager
async def departing(scope: Scope, receive: Receive) -> AsyncIterator[Departure]:
    """Watch for a departure while the context is open."""
    departure = Departure()
    async with staying(scope) as stay:
        watching = [
            asyncio.create_task(departure.watch_client(receive)),
            asyncio.create_task(departure.watch_stay(stay)),
        ]
        leaving = scope.get("state", {}).get(LEAVING)
        if leaving is not None:
            watching.append(asyncio.create_task(departure.watch_server(leaving)))
        try:
            yield departure
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
