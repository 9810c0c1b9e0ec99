"""The context: what a handler may know of its attempt, and what it may say while it runs."""

import math
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from uuid import UUID

import asyncpg
import structlog

from ledger.errors import InvalidValueError
from worker.errors import TransactionRefusedError

Report = Callable[[float, str], None]


class Completing(Protocol):
    """What commits a handler's own writes together with its outcome."""

    def transaction(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """See `TaskContext.transaction`."""

    async def complete(self, result: object, *, connection: asyncpg.Connection) -> None:
        """See `TaskContext.complete`."""


class TaskContext:
    """The attempt as its handler sees it; safe to use from the handler's thread.

    A handler receives it in the parameter annotated with this class. A test of a handler makes its own.

    Attributes:
        task_id: the task.
        attempt: the number of this attempt, from 1.
        kind: the task's kind.
        queue: the task's queue.
        tags: the task's tags.
        deadline: when the attempt is ended, by the ledger's clock.
    """

    def __init__(  # noqa: PLR0913 - the facts of an attempt
        self,
        *,
        task_id: UUID,
        attempt: int,
        kind: str,
        queue: str,
        tags: tuple[str, ...],
        deadline: datetime,
        report: Report | None = None,
        completion: Completing | None = None,
    ) -> None:
        self.task_id = task_id
        self.attempt = attempt
        self.kind = kind
        self.queue = queue
        self.tags = tags
        self.deadline = deadline
        self._report = report
        self._completion = completion
        self._log: structlog.stdlib.BoundLogger | None = None
        self._stop_asked = False
        self._stop_seen = False

    @property
    def cancelled(self) -> bool:
        """Whether the handler should stop: by request, at its deadline, or because the worker stops.

        A handler that saw True here and then ends counts as stopped, whatever it returns.
        """
        self._stop_seen = self._stop_asked
        return self._stop_asked

    @property
    def stop_seen(self) -> bool:
        """Whether the handler has learned that it should stop."""
        return self._stop_seen

    @property
    def log(self) -> structlog.stdlib.BoundLogger:
        """The log, with the attempt in every line."""
        if self._log is None:
            self._log = structlog.get_logger().bind(
                task_id=str(self.task_id), attempt=self.attempt, kind=self.kind
            )
        return self._log

    def progress(self, fraction: float, message: str = "") -> "Noted":
        """Say how far the attempt got, from 0 to 1; the latest word is recorded, at most once a second.

        It never waits, so a plain function calls it as it is; a coroutine may also await it.

        Raises:
            InvalidValueError: the fraction is no number.
        """
        if math.isnan(fraction):
            raise InvalidValueError(field="fraction", bound="a number from 0 to 1", value=fraction)
        if self._report is not None:
            self._report(min(max(fraction, 0.0), 1.0), message)
        return _NOTED

    def transaction(self) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """Lend a connection to the ledger's database with an open transaction, which is committed at its end.

            async with context.transaction() as connection:
                await connection.execute("INSERT INTO payments …")
                await context.complete({"paid": 7}, connection=connection)

        It waits while LEDGER_HANDLER_CONNECTIONS_MAX transactions are open, and a statement may take
        LEDGER_STATEMENT_TIMEOUT_SECONDS. An exception rolls it back.

        Raises:
            TransactionRefusedError: the handler is not async, or the ledger is not in Postgres.
            StoreUnavailableError: the database is out of reach.
            StaleAttemptError: at the end, if the attempt was completed in it and no longer owns its task; then the
                transaction is rolled back.
        """
        return self._completing().transaction()

    async def complete(self, result: object, *, connection: asyncpg.Connection) -> None:
        """Complete the attempt in the transaction that is open on the connection: both are committed, or neither.

        The connection is one of `transaction`, or the handler's own to the same database. With one of its own this
        has to be the last statement before the commit: until then nobody else can append to the task, and no
        reader of the log gets beyond it. Once it is committed, nothing that the handler returns or raises counts.

        Raises:
            TransactionRefusedError: the handler is not async, or the ledger is not in Postgres.
            StaleAttemptError: the attempt no longer owns its task: let this roll the transaction back.
            TaskStateError: this attempt has completed the task already.
            ResultRefusedError: the result cannot be stored.
            StoreRefusedError: no transaction is open on the connection.
        """
        await self._completing().complete(result, connection=connection)

    def ask_to_stop(self) -> None:
        """Set `cancelled`; the worker does it."""
        self._stop_asked = True

    def _completing(self) -> Completing:
        if self._completion is None:
            raise TransactionRefusedError
        return self._completion


class Noted:
    """What may be awaited and is done already."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_NOTED = Noted()
