"""Departure: how a request that takes its time learns that nobody is left to answer, or that the server stops."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

from starlette.types import Receive, Scope

# Under this name a request's state has the event that says that the server stops; without a server there is none.
LEAVING = "leaving"

Done = TypeVar("Done")


class Departure:
    """What is known of the departure of both sides; made by `departing`."""

    def __init__(self) -> None:
        self._happened = asyncio.Event()
        self.is_leaving = False

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


@asynccontextmanager
async def departing(scope: Scope, receive: Receive) -> AsyncIterator[Departure]:
    """Watch for a departure while the context is open."""
    departure = Departure()
    watching = [asyncio.create_task(departure.watch_client(receive))]
    leaving = scope.get("state", {}).get(LEAVING)
    if leaving is not None:
        watching.append(asyncio.create_task(departure.watch_server(leaving)))
    try:
        yield departure
    finally:
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
