"""The long poll: a read that is answered when there is something that the client does not know yet."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

from starlette.requests import Request

from api.conditions import Conditions
from api.departure import departing
from api.gathered_reads import GatheredReads
from api.places import Places
from api.read_model import TaskReader, TaskView
from api.tail import Tail, Watch
from ledger.bootstrap import Ledger
from ledger.task import FINISHED

_LANES_MAX = 2
_BATCH_SIZE_MAX = 200


class LongPoll:
    """Reads tasks, at once or when they change; it costs a query when a task changes, not while it does not."""

    def __init__(self, ledger: Ledger, reader: TaskReader, tail: Tail, places: Places) -> None:
        self._reader = reader
        self._tail = tail
        self._places = places
        self._heads = GatheredReads(ledger.store.heads, lanes_max=_LANES_MAX, batch_size_max=_BATCH_SIZE_MAX)

    async def find(
        self,
        task_id: UUID,
        conditions: Conditions,
        request: Request,
        *,
        seconds: float | None,
        compared: Callable[[TaskView], object],
    ) -> TaskView:
        """Return the task; with `seconds` as soon as what is compared of it changes, or the time is over.

        A client that names the version it knows is answered at once where that is not the task's. For one that
        names none, a finished task has nothing to wait for.

        Raises:
            TaskNotFoundError, StoreUnavailableError: as TaskReader.find.
            TooManyWaitingError: there is no place to wait.
            NotAuthenticatedError: the caller's key or session was over meanwhile.
        """
        known = conditions.known_version(task_id)
        task = await self._reader.find(task_id, position_min=conditions.position_min, version_min=known or 0)
        if not seconds or _is_answered(task, known):
            return task
        with self._places.taken(), self._tail.watched(task_id) as watch:
            async with self._tail.followed(), departing(request.scope, request.receive) as departure:
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await departure.outrun(self._change(task, compared, watch))
                departure.check_stay()
        return await self._current(task)

    async def _change(self, task: TaskView, compared: Callable[[TaskView], object], watch: Watch) -> None:
        await self._tail.recent()
        seen = compared(task)
        while True:
            watch.expect()
            if compared(await self._current(task)) != seen:
                return
            await watch.wait()

    async def _current(self, task: TaskView) -> TaskView:
        # The read model may not have yet what the log has told of.
        head = await self._heads.find(task.task_id) or 0
        if head <= task.version:
            return task
        return await self._reader.find(task.task_id, version_min=head)


def _is_answered(task: TaskView, known: int | None) -> bool:
    return task.status in FINISHED if known is None else task.version != known
