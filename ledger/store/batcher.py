"""Group commit: everything that waits to be appended goes out as one statement, as soon as a connection is free.

There is no artificial delay: while one statement is in flight the next batch gathers. A task is in a batch at
most once, so that each conflict is one stream's alone.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
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
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = sum(len(event.data) for event in self.events)


Send = Callable[[Sequence[AppendRequest]], Awaitable[dict[UUID, Appended]]]


class AppendBatcher:
    """Gathers appends and sends them in batches over a few lanes.

    `send` appends a batch in one transaction and returns the receipt of each stream that went in; it raises
    StoreRefusedError when the statement as a whole was refused, StoreUnavailableError when nothing is known.
    Sizes are characters of JSON, which are bytes but for what is not ASCII.
    """

    def __init__(
        self,
        send: Send,
        *,
        lanes: int,
        batch_size_max: int,
        batch_bytes_max: int,
        queue_max: int,
        queue_bytes_max: int,
    ) -> None:
        self._send = send
        self._lanes_max = lanes
        self._batch_size_max = batch_size_max
        self._batch_bytes_max = batch_bytes_max
        self._queue_max = queue_max
        self._queue_bytes_max = queue_bytes_max
        self._waiting: deque[AppendRequest] = deque()
        self._waiting_bytes = 0
        self._in_flight: set[UUID] = set()
        self._lanes: set[asyncio.Task[None]] = set()
        self._lanes_open = 0
        self._is_closed = False

    async def append(self, task_id: UUID, events: Sequence[NewEvent], *, expected_version: int) -> Appended:
        """Append with the next batch; raises what the store port says."""
        receipt: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        request = AppendRequest(task_id, events, expected_version, receipt)
        self._check_room(request)
        self._waiting.append(request)
        self._waiting_bytes += request.size
        self._open_lane()
        return await receipt

    async def close(self) -> None:
        """Refuse what is new, and wait until everything that was asked for is answered."""
        self._is_closed = True
        while self._lanes:
            await asyncio.wait(self._lanes)

    def _check_room(self, request: AppendRequest) -> None:
        if self._is_closed:
            raise StoreUnavailableError("the store is closed")
        if len(self._waiting) >= self._queue_max:
            raise StoreUnavailableError(f"{self._queue_max} appends are waiting already (LEDGER_APPEND_QUEUE_MAX)")
        if self._waiting and self._waiting_bytes + request.size > self._queue_bytes_max:
            raise StoreUnavailableError(
                f"{self._waiting_bytes} bytes are waiting to be appended already (LEDGER_APPEND_QUEUE_BYTES_MAX)"
            )

    def _open_lane(self) -> None:
        if self._lanes_open < self._lanes_max:
            self._lanes_open += 1
            lane = asyncio.create_task(self._drain())
            self._lanes.add(lane)
            lane.add_done_callback(self._lanes.discard)

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(0)  # let whoever else is ready in this turn of the loop join the batch
                batch = self._next_batch()
                if not batch:
                    return
                await self._send_batch(batch)
        finally:
            # In the turn in which it saw the queue empty: a task's callbacks run a turn later, and who appends
            # in between would count on a lane that is gone, and wait for ever.
            self._lanes_open -= 1

    def _next_batch(self) -> list[AppendRequest]:
        batch: list[AppendRequest] = []
        held_back: list[AppendRequest] = []
        room = self._batch_bytes_max
        while self._waiting and len(batch) < self._batch_size_max:
            if batch and self._waiting[0].size > room:
                break
            request = self._waiting.popleft()
            if request.receipt.done():
                self._waiting_bytes -= request.size
            elif request.task_id in self._in_flight:
                held_back.append(request)
            else:
                self._in_flight.add(request.task_id)
                self._waiting_bytes -= request.size
                room -= request.size
                batch.append(request)
        self._waiting.extendleft(reversed(held_back))
        return batch

    async def _send_batch(self, batch: Sequence[AppendRequest]) -> None:
        try:
            await self._settle(batch)
        except BaseException as error:
            _fail(batch, error)
            if not isinstance(error, Exception):
                raise
            if self._is_closed and isinstance(error, StoreUnavailableError):
                self._give_up(error)
        finally:
            self._in_flight.difference_update(request.task_id for request in batch)

    async def _settle(self, batch: Sequence[AppendRequest]) -> None:
        try:
            receipts = await self._send(batch)
        except StoreRefusedError as error:
            await self._send_halves(batch, error)
        else:
            for request in batch:
                _answer(request, receipts.get(request.task_id))

    async def _send_halves(self, batch: Sequence[AppendRequest], error: StoreRefusedError) -> None:
        # One stream spoilt the statement for all. Looking for it by halves takes 2 log n statements, not n.
        if len(batch) == 1:
            _fail(batch, error)
            return
        middle = len(batch) // 2
        await self._settle(batch[:middle])
        await self._settle(batch[middle:])

    def _give_up(self, error: StoreUnavailableError) -> None:
        # At the close of a store whose database is gone each batch would wait for the timeout of its own.
        _fail(self._waiting, error)
        self._waiting.clear()
        self._waiting_bytes = 0


def _answer(request: AppendRequest, receipt: Appended | None) -> None:
    if request.receipt.done():
        return
    if receipt is None:
        request.receipt.set_exception(
            WrongExpectedVersionError(task_id=request.task_id, expected_version=request.expected_version)
        )
        return
    request.receipt.set_result(receipt)


def _fail(requests: Iterable[AppendRequest], error: BaseException) -> None:
    for request in requests:
        if not request.receipt.done():
            request.receipt.set_exception(_error_of_its_own(error))


def _error_of_its_own(error: BaseException) -> Exception:
    # An instance that many callers raise would gather all their tracebacks.
    if isinstance(error, StoreUnavailableError | StoreRefusedError):
        copy = type(error)(str(error))
        copy.__cause__ = error.__cause__
        return copy
    return error if isinstance(error, Exception) else StoreUnavailableError("the store was closed")
