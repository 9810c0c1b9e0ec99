"""The roster: where workers say that they live, and learn which of their tasks somebody wants cancelled."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

import asyncpg

from ledger.errors import StoreUnavailableError
from ledger.queries import query
from ledger.store.connection import Database, translated
from ledger.store.port import EventStore


@dataclass(frozen=True, slots=True)
class Member:
    """A worker process: one incarnation, never used again.

    Attributes:
        name: what people know it by; several incarnations may share it.
        capacity: how many attempts it runs at once.
    """

    worker_id: UUID
    name: str
    queues: tuple[str, ...]
    capacity: int = 1


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """An attempt as the roster sees it: the version is that of its Started event."""

    task_id: UUID
    started_version: int


@dataclass(frozen=True, slots=True)
class BeatAnswer:
    """What a worker learns from a beat.

    Attributes:
        now: the ledger's time.
        cancel_requested: those of its running tasks that somebody wants cancelled; again at every beat.
        draining: whether it is to take nothing new.
    """

    now: datetime
    cancel_requested: tuple[UUID, ...]
    draining: bool = False


class Roster(Protocol):
    """The signs of life of one worker."""

    async def beat(self, running: Sequence[RunningAttempt], *, takes: bool = True) -> BeatAnswer:
        """Say that the worker lives, enrolling it where it is not known (any more).

        Args:
            running: the attempts that are under way.
            takes: whether it takes new tasks.

        Raises:
            StoreUnavailableError: the roster is out of reach.
            StoreRefusedError: the database answered no.
        """

    async def leave(self) -> None:
        """Say that the worker is gone for good; raises what `beat` raises."""

    async def close(self) -> None:
        """Release the connection; idempotent."""


class MemoryRoster:
    """The roster where there is no database: it finds cancel requests by reading the streams."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def beat(self, running: Sequence[RunningAttempt], *, takes: bool = True) -> BeatAnswer:  # noqa: ARG002 - as the port has it
        """Read the streams of the running tasks."""
        wanted = [attempt.task_id for attempt in running if await self._is_cancel_requested(attempt)]
        return BeatAnswer(now=await self._store.database_time(), cancel_requested=tuple(wanted))

    async def leave(self) -> None:
        """Leave nothing behind."""

    async def close(self) -> None:
        """Hold nothing."""

    async def _is_cancel_requested(self, attempt: RunningAttempt) -> bool:
        rows = await self._store.read_stream(attempt.task_id, after_version=attempt.started_version)
        return any(row.type == "task.cancel_requested" for row in rows)


class PostgresRoster:
    """A row in ledger.workers, and a session lock that goes with the process.

    Both live on a connection of their own: a beat neither waits for the pool nor hides behind it, and when the
    process dies the database drops the lock at once. A lost connection is opened again by the next beat.
    """

    def __init__(self, database: Database, member: Member, *, beat_seconds_max: float) -> None:
        self._database = database
        self._member = member
        self._beat_seconds_max = beat_seconds_max
        self._opened = AsyncExitStack()
        self._connection: asyncpg.Connection | None = None
        self._session_key: int | None = None
        self._holds_session = False

    async def beat(self, running: Sequence[RunningAttempt], *, takes: bool = True) -> BeatAnswer:
        """Beat in one statement; the first one after a connection was lost also takes the session lock again."""
        try:
            async with asyncio.timeout(self._beat_seconds_max):
                return await self._beat(running, takes=takes)
        except TimeoutError as error:
            await self._drop()
            raise StoreUnavailableError(
                f"the database did not answer a beat within {self._beat_seconds_max:g} s"
            ) from error
        except BaseException:
            await self._drop()
            raise

    async def leave(self) -> None:
        """Note in the row that the worker stopped."""
        async with self._database.connection() as connection:
            await connection.execute(query("stop_worker"), self._member.worker_id)

    async def close(self) -> None:
        """Close the connection, and let the session lock go with it."""
        self._connection = None
        await self._opened.aclose()

    async def _beat(self, running: Sequence[RunningAttempt], *, takes: bool) -> BeatAnswer:
        connection = await self._connected()
        with translated():
            if not self._holds_session:
                await self._take_session(connection)
            row = await connection.fetchrow(
                query("beat"),
                self._member.worker_id,
                [attempt.task_id for attempt in running],
                [attempt.started_version for attempt in running],
                takes,
            )
        if row is None or not row["known"]:
            # The database was restored, or the row was removed because we were silent for a day.
            self._session_key, self._holds_session = None, False
            raise StoreUnavailableError("the ledger does not know this worker any more; it enrols again")
        return BeatAnswer(
            now=row["now"], cancel_requested=tuple(row["cancel_requested"]), draining=row["draining"]
        )

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None:
            self._connection = await self._opened.enter_async_context(self._database.dedicated())
            self._holds_session = False
            with translated():
                await self._connection.execute(query("prepare_worker_session"))
        return self._connection

    async def _take_session(self, connection: asyncpg.Connection) -> None:
        if self._session_key is None:
            member = self._member
            self._session_key = await connection.fetchval(
                query("register_worker"), member.worker_id, member.name, list(member.queues), member.capacity
            )
        # Where our own lost connection still holds it, the server has not noticed yet: the next beat asks again.
        self._holds_session = await connection.fetchval(query("hold_worker_session"), self._session_key)

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
        opened, self._opened = self._opened, AsyncExitStack()
        await opened.aclose()
