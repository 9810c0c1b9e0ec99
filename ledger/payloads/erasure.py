"""The erasure of one task: its key is destroyed, and its stream says so, in one transaction.

No event is changed. What was encrypted under the key cannot be opened any more, wherever a copy of it is: in
the ledger, a read model, a message, an export, a backup. Only a backup of the keys brings it back, for whoever
also has the secret that wraps them.
"""

from uuid import UUID

from ledger.bootstrap import Ledger
from ledger.codec import encode_pending, fold
from ledger.commands import Decided
from ledger.errors import TaskNotFoundError, WrongExpectedVersionError
from ledger.queries import query
from ledger.store.records import Appended, NewEvent, Origin

_CONFLICTS_MAX = 20


class Erasure:
    """Erases finished tasks."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database
        self._store = ledger.store
        self._clock = ledger.clock

    async def erase(self, task_id: UUID, *, reason: str, origin: Origin, order_id: UUID | None = None) -> Decided:
        """Erase what a task was given and came up with; one that is erased stays so, and nothing is recorded.

        Raises:
            TaskNotFoundError: there is no such task.
            TaskStateError: it is not finished, or not erasable.
            WrongExpectedVersionError: others got in between every time.
        """
        for _ in range(_CONFLICTS_MAX - 1):
            try:
                return await self._erase_once(task_id, reason, origin, order_id)
            except WrongExpectedVersionError:
                continue
        return await self._erase_once(task_id, reason, origin, order_id)

    async def _erase_once(self, task_id: UUID, reason: str, origin: Origin, order_id: UUID | None) -> Decided:
        stream = await self._store.read_stream(task_id)
        task = fold(stream)
        if task is None:
            raise TaskNotFoundError(task_id)
        task.erase(actor=origin.actor, reason=reason, now=self._clock.now())
        expected_version, events = encode_pending(task, origin=origin.within(stream))
        if not events:
            return Decided(task, None)
        tombstone = (task_id, origin.actor, reason, order_id)
        appended = await self._destroy(tombstone, events[0], expected_version)
        self._store.wake_readers()
        return Decided(task, appended)

    async def _destroy(
        self, tombstone: tuple[UUID, str, str, UUID | None], erased: NewEvent, expected_version: int
    ) -> Appended:
        task_id = tombstone[0]
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(query("keep_tombstone"), *tombstone)
            await connection.execute(query("destroy_payload_key"), task_id)
            # Last, because an open append holds back every reader; it refuses all of it where another was faster.
            return await self._store.append(
                task_id, [erased], expected_version=expected_version, connection=connection
            )
