"""Group commit: everything that waits to be appended goes out as one statement, as soon as a connection is free.

There is no artificial delay: while one statement is in flight the next batch gathers. A task is in a batch at
most once, so that each conflict is one stream's alone.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from ledger.errors import StoreRefusedError, StoreUnavailableError, WrongExpectedVersionError
from ledger.store.records import Appended, NewEvent


@dataclass(slots=True, eq=False)
class AppendRequest:
    """One stream's append, waiting for its receipt."""

    task_id: UUID
    events: Sequence[NewEvent]
    expected_version: int
    receipt: asyncio.Future[Appended]


Send = Callable[[Sequence[AppendRequest]], Awaitable[dict[UUID, Appended]]]


class AppendBatcher:
    """Gathers appends and sends them in batches over a few lanes.

    `send` appends a batch in one transaction and returns the receipt of each stream that went in; it raises
    StoreRefusedError when the statement as a whole was refused, StoreUnavailableError when nothing is known.
    """

    def __init__(self, send: Send, *, lanes: int, batch_size_max: int, queue_max: int) -> None:
        self._send = send
        self._lanes_max = lanes
        self._batch_size_max = batch_size_max
        self._queue_max = queue_max
        self._waiting: deque[AppendRequest] = deque()
        self._in_flight: set[UUID] = set()
        self._lanes: set[asyncio.Task[None]] = set()

    async def append(self, task_id: UUID, events: Sequence[NewEvent], *, expected_version: int) -> Appended:
        """Append with the next batch; raises what the store port says."""
        if len(self._waiting) >= self._queue_max:
            raise StoreUnavailableError(f"{self._queue_max} appends are waiting already (LEDGER_APPEND_QUEUE_MAX)")
        receipt: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self._waiting.append(AppendRequest(task_id, events, expected_version, receipt))
        self._open_lane()
        return await receipt

    async def close(self) -> None:
        """Wait until everything that was asked for is answered."""
        while self._lanes:
            await asyncio.wait(self._lanes)

    def _open_lane(self) -> None:
        if len(self._lanes) < self._lanes_max:
            lane = asyncio.create_task(self._drain())
            self._lanes.add(lane)
            lane.add_done_callback(self._lanes.discard)

    async def _drain(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # let whoever else is ready in this turn of the loop join the batch
            batch = self._next_batch()
            if not batch:
                return
            try:
                await self._send_batch(batch)
            finally:
                self._in_flight.difference_update(request.task_id for request in batch)

    def _next_batch(self) -> list[AppendRequest]:
        batch: list[AppendRequest] = []
        held_back: list[AppendRequest] = []
        while self._waiting and len(batch) < self._batch_size_max:
            request = self._waiting.popleft()
            if request.receipt.done():
                continue
            if request.task_id in self._in_flight:
                held_back.append(request)
                continue
            self._in_flight.add(request.task_id)
            batch.append(request)
        self._waiting.extendleft(reversed(held_back))
        return batch

    async def _send_batch(self, batch: Sequence[AppendRequest]) -> None:
        try:
            receipts = await self._send(batch)
        except StoreRefusedError as error:
            await self._send_alone(batch, error)
        except BaseException as error:
            _fail(batch, error)
            if not isinstance(error, Exception):
                raise
        else:
            for request in batch:
                _answer(request, receipts.get(request.task_id))

    async def _send_alone(self, batch: Sequence[AppendRequest], error: StoreRefusedError) -> None:
        # One stream spoilt the statement for all; alone, each meets its own fate.
        if len(batch) == 1:
            _fail(batch, error)
            return
        for request in batch:
            await self._send_batch([request])


def _answer(request: AppendRequest, receipt: Appended | None) -> None:
    if request.receipt.done():
        return
    if receipt is None:
        request.receipt.set_exception(
            WrongExpectedVersionError(task_id=request.task_id, expected_version=request.expected_version)
        )
        return
    request.receipt.set_result(receipt)


def _fail(batch: Sequence[AppendRequest], error: BaseException) -> None:
    for request in batch:
        if not request.receipt.done():
            request.receipt.set_exception(
                error if isinstance(error, Exception) else StoreUnavailableError("the store was closed")
            )
