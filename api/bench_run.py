"""One run of `taskledger bench`: it submits tasks over HTTP, and hears from the stream of events how each ends."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from api.bench_figures import Figures, Times, figures_of
from api.client import AsyncTaskLedger, EventFilter, SubmitOptions, TaskLedgerError
from ledger.bars import Show

_COMPLETED = "task.completed"
_ENDS = [_COMPLETED, "task.failed", "task.cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is submitted.

    Attributes:
        rate: so many a second; as fast as `concurrency` submits at once are answered where it is None.
        timeout_seconds: how long to wait for the last ones to end.
    """

    tasks: int
    concurrency: int
    rate: float | None
    kind: str
    queue: str
    tag: str
    timeout_seconds: float


class BenchRun:
    """A run; it is used once."""

    def __init__(self, client: AsyncTaskLedger, load: Load, show: Show) -> None:
        self._client = client
        self._load = load
        self._show = show
        self._asked: dict[UUID, float] = {}
        self._answered: list[float] = []
        self._ended: dict[UUID, tuple[float, str]] = {}
        self._open: set[UUID] = set()
        self._all_ended = asyncio.Event()
        self._all_submitted = False
        self._refused = 0
        self.first_refusal = ""

    async def run(self) -> Figures:
        """Submit all, wait until all have ended or the time is over, and return the figures.

        Raises:
            TaskLedgerError: the first task is refused, or the stream of events cannot be read any more.
        """
        # The first one says from where to follow, opens a connection, and finds out whether it may be done at all.
        first = await self._client.submit(self._load.kind, **self._options())
        following = asyncio.create_task(self._follow(first.position))
        began, processor = time.perf_counter(), time.process_time()
        try:
            submitting = asyncio.create_task(self._submit_all(began))
            await _either(submitting, following, seconds_max=None)
            submits_ended = time.perf_counter()
            await _either(asyncio.create_task(self._settled()), following, seconds_max=self._load.timeout_seconds)
        finally:
            following.cancel()
        return figures_of(self._times(began, processor), submits_ended=submits_ended)

    def _options(self) -> SubmitOptions:
        return {"queue": self._load.queue, "tags": [self._load.tag], "idempotent": False}

    async def _submit_all(self, began: float) -> None:
        numbers = iter(range(self._load.tasks))
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._load.concurrency, self._load.tasks)):
                group.create_task(self._submit_some(numbers, began))
        self._all_submitted = True
        self._look()

    async def _submit_some(self, numbers: Iterator[int], began: float) -> None:
        for number in numbers:
            asked = time.perf_counter()
            if self._load.rate is not None:
                # From when it was to be sent: a late one counts as what it is, whatever held it up.
                asked = began + number / self._load.rate
                await asyncio.sleep(max(0.0, asked - time.perf_counter()))
            try:
                receipt = await self._client.submit(self._load.kind, **self._options())
            except TaskLedgerError as error:
                self._refused += 1
                self.first_refusal = self.first_refusal or str(error)
                continue
            self._answered.append(time.perf_counter() - asked)
            self._asked[receipt.task_id] = asked
            if receipt.task_id not in self._ended:
                self._open.add(receipt.task_id)

    async def _follow(self, position: int) -> None:
        wanted: EventFilter = {
            "types": _ENDS,
            "kind": self._load.kind,
            "queue": self._load.queue,
            "after": position,
        }
        async for event in self._client.stream(**wanted):
            if event.type != _COMPLETED and event.data.get("retry_at"):
                continue  # it is tried again
            self._ended[event.task_id] = (time.perf_counter(), event.type)
            self._open.discard(event.task_id)
            self._look()

    def _look(self) -> None:
        self._show(len(self._asked) - len(self._open), self._load.tasks)
        if self._all_submitted and not self._open:
            self._all_ended.set()

    async def _settled(self) -> None:
        await self._all_ended.wait()

    def _times(self, began: float, processor: float) -> Times:
        own = {task_id: end for task_id, end in self._ended.items() if task_id in self._asked}
        completed = {task_id: moment for task_id, (moment, kind) in own.items() if kind == _COMPLETED}
        return Times(
            began=began,
            asked=self._asked,
            answered=self._answered,
            completed=completed,
            failed=len(own) - len(completed),
            refused=self._refused,
            processor=time.process_time() - processor,
            ended=time.perf_counter(),
        )


async def _either(work: asyncio.Task[None], following: asyncio.Task[None], *, seconds_max: float | None) -> None:
    """Wait until the work is done, or the time is over; what ends the following ends the run."""
    try:
        await asyncio.wait({work, following}, timeout=seconds_max, return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            following.result()
        if work.done():
            work.result()
    finally:
        work.cancel()
