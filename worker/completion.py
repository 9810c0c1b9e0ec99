"""The completion: a handler commits its own writes and its Completed in one transaction, both or neither.

The append is fenced as every outcome is. It takes the key of the task's next version until the transaction ends:
whoever else appends to the task waits so long, and no reader of the log gets beyond it. So it comes last.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from ledger.clock import Clock
from ledger.codec import encode_pending, fold
from ledger.errors import StaleAttemptError, TaskNotFoundError, TaskStateError, WrongExpectedVersionError
from ledger.queries import query
from ledger.store.connection import translated
from ledger.store.port import EventStore
from ledger.store.records import RecordedEvent
from ledger.task import Task
from worker.claims import Claim
from worker.endings import Ending, Raised, Returned
from worker.errors import CompletionLostError
from worker.outcomes import Success
from worker.results import as_json, encode_result, event_bytes_max
from worker.transactions import Transactions

_CONFLICTS_MAX = 20


@dataclass(frozen=True, slots=True)
class CompletionOffice:
    """What the completions of a worker's attempts work with."""

    store: EventStore
    clock: Clock
    transactions: Transactions
    result_bytes_max: int


class Completion:
    """What the handler of one attempt has done about its own outcome.

    Attributes:
        is_committed: Completed is in the ledger.
        is_in_doubt: Completed was appended in a transaction of which it is not known whether it was committed.
        refused: the outcome that came too late, because the attempt no longer owned its task.

    Args:
        quiet: ends the attempt's progress: its append would wait for the transaction, and hold up others.
    """

    def __init__(self, claim: Claim, office: CompletionOffice, *, quiet: Callable[[], Awaitable[None]]) -> None:
        self._claim = claim
        self._office = office
        self._quiet = quiet
        self._promised: dict[asyncpg.Connection, Success | None] = {}
        self.is_committed = False
        self.is_in_doubt = False
        self.refused: Success | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection with an open transaction, and commit it; see `TaskContext.transaction`."""
        async with self._office.transactions.lend() as connection:
            self._promised[connection] = None
            try:
                async with connection.transaction():
                    yield connection
                    success = self._promised[connection]
                    if success is not None:
                        await self._append(success, connection)
            finally:
                del self._promised[connection]
            if success is not None:
                self.is_committed = True
                self._office.store.wake_readers()

    async def complete(self, result: object, *, connection: asyncpg.Connection) -> None:
        """Append Completed in the connection's transaction; see `TaskContext.complete`."""
        success = self._success(result)
        if connection in self._promised:
            self._promised[connection] = success  # to be appended right before the commit
        else:
            await self._append(success, connection)

    @property
    def is_settled(self) -> bool:
        """Whether it is known what became of the handler's own outcome: committed, or refused."""
        return self.is_committed or self.refused is not None

    def judge(self, ending: Ending) -> Ending:
        """Return how a run ended whose Completed is in doubt, for the case that it was not committed."""
        if self.is_in_doubt and isinstance(ending, Returned):
            return Raised(CompletionLostError())
        return ending

    def _success(self, result: object) -> Success:
        value = as_json(result)
        encode_result(value, attempt=self._claim.attempt, result_bytes_max=self._office.result_bytes_max)
        return Success(value)

    async def _append(self, success: Success, connection: asyncpg.Connection) -> None:
        await self._quiet()
        for _ in range(_CONFLICTS_MAX - 1):
            try:
                return await self._append_once(success, connection)
            except WrongExpectedVersionError:
                continue
        return await self._append_once(success, connection)

    async def _append_once(self, success: Success, connection: asyncpg.Connection) -> None:
        task = await self._load(connection)
        try:
            success.decide(task, attempt=self._claim.attempt, now=self._office.clock.now())
        except StaleAttemptError:
            self.refused = success
            raise
        bytes_max = event_bytes_max(self._claim.attempt, self._office.result_bytes_max)
        expected_version, events = encode_pending(
            task, origin=self._claim.origin, bytes_max=bytes_max, cipher=self._claim.seals
        )
        self.is_in_doubt = True
        await self._office.store.append(task.id, events, expected_version=expected_version, connection=connection)

    async def _load(self, connection: asyncpg.Connection) -> Task:
        task_id = self._claim.task.id
        with translated():  # on the same connection: it sees its own append, and waits for no other
            rows = await connection.fetch(query("read_stream"), task_id, 0, None)
        events = [RecordedEvent(*row) for row in rows]
        task = fold(events)
        if task is None:
            raise TaskNotFoundError(task_id)
        if any(event.type == Success.topic and self._claim.wrote(event) for event in events):
            raise TaskStateError(
                task_id=task_id, command="complete", status=task.status, reason="this attempt did it already"
            )
        return task
