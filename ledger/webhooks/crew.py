"""The crew: a task for each endpoint that is served and one for each with errands; none waits for another.

The HTTP client is `httpx`: it connects to the address that it is told while Host and the TLS name stay those of
the URL, and it follows no redirect, proxy or cookie unless asked to. It is loaded with this file, so only where
there is an endpoint.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager

import asyncpg
import structlog

from ledger.bootstrap import Ledger
from ledger.outage import Outage
from ledger.webhooks.errands import Errands
from ledger.webhooks.lane import Lane, Pace
from ledger.webhooks.sender import Outside, Sender

log = structlog.get_logger()

_RETRY_SECONDS_MAX = 5.0
_PAGES_AT_ONCE_MAX = 1000


class Crew:
    """Serves endpoints side by side; made by `open_crew`."""

    def __init__(self, ledger: Ledger, outside: Outside) -> None:
        self._ledger = ledger
        self._outside = outside
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._calls: dict[str, asyncio.Event] = {}
        self._seen: dict[str, object] = {}

    async def drain(self, name: str) -> int:
        """Send what an endpoint has still to get, until it has it or a try fails; return how many events."""
        delivered = 0
        async with self._sender() as sender:
            lane = Lane(self._ledger, name, sender)
            for _ in range(_PAGES_AT_ONCE_MAX):
                progress = await lane.run_once()
                delivered += progress.delivered
                if progress.pace is not Pace.MORE:
                    break
        return delivered

    async def do_errands(self, name: str) -> int:
        """Send what was asked for to one endpoint; return how many messages."""
        async with self._sender() as sender:
            return await Errands(self._ledger, name, sender).run_once()

    def man(self, rows: Sequence[asyncpg.Record]) -> None:
        """See to it that each endpoint is served that is due, or has errands; `rows` are all endpoints."""
        self._tasks = {key: task for key, task in self._tasks.items() if not task.done()}
        for row in rows:
            name = row["name"]
            if row["due"]:
                self._begin("lane", name, self._keep_lane(name))
            if row["asked"]:
                self._begin("errands", name, self._run_errands(name))
        seen = {row["name"]: (row["revision"], row["created_at"]) for row in rows}
        for name in self._seen.keys() | seen.keys():
            if self._seen.get(name) != seen.get(name):
                self._call(name)  # somebody changed or removed it, so its lane has to look
        self._seen = dict(seen)

    def wake(self) -> None:
        """Let every lane look for what was appended."""
        for name in self._calls:
            self._call(name)

    async def close(self) -> None:
        """End every task and wait for it; what is in flight is sent again by whoever serves next."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _call(self, name: str) -> None:
        if name in self._calls:
            self._calls[name].set()

    def _begin(self, work: str, name: str, running: Coroutine[None, None, None]) -> None:
        if (work, name) in self._tasks:
            running.close()
            return
        self._tasks[work, name] = asyncio.create_task(running)

    async def _keep_lane(self, name: str) -> None:
        call = self._calls[name] = asyncio.Event()
        outage = Outage("webhook", retry_seconds_max=_RETRY_SECONDS_MAX)
        try:
            async with self._sender() as sender:
                lane = Lane(self._ledger, name, sender)
                while True:
                    call.clear()
                    try:
                        progress = await lane.run_once()
                    except Exception as error:  # noqa: BLE001 - what fails for one endpoint must not end the others
                        await outage.wait(error, webhook=name)
                        continue
                    outage.end()
                    if progress.pace is Pace.OFF:
                        return
                    if progress.pace is Pace.CAUGHT_UP:
                        await call.wait()
        finally:
            self._calls.pop(name, None)

    async def _run_errands(self, name: str) -> None:
        try:
            await self.do_errands(name)
        except Exception:  # what fails for one endpoint must not end the others
            log.exception("webhook.errand_failed", webhook=name)

    @asynccontextmanager
    async def _sender(self) -> AsyncIterator[Sender]:
        sender = Sender(self._ledger.settings, self._outside)
        try:
            yield sender
        finally:
            await sender.close()


@asynccontextmanager
async def open_crew(ledger: Ledger) -> AsyncIterator[Crew]:
    """Open a crew; on leaving all of its tasks end."""
    outside = Outside()
    crew = Crew(ledger, outside)
    try:
        yield crew
    finally:
        await crew.close()
        outside.close()
