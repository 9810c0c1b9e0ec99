"""Runs: what somebody asked to be done with a read model, as it stands in the ledger's database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import asyncpg
import orjson
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.errors import StoreRefusedError
from ledger.queries import query
from ledger.store.connection import Database
from ledger.store.records import Origin
from projections.errors import NotVerifiableError, RunNotFoundError, RunOpenError
from projections.projection import Projection
from projections.verify import Difference

_REQUEST_TRIES_MAX = 5


class Act(StrEnum):
    """What a run does."""

    REBUILD = "rebuild"
    VERIFY = "verify"
    RESET = "reset"


class RunState(StrEnum):
    """How a run stands; the last two are for ever."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def is_end(self) -> bool:
        """Whether nothing happens to the run any more."""
        return self in (RunState.SUCCEEDED, RunState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run at one moment.

    Attributes:
        tries: how many processes have begun it.
        phase: of the rebuild, the verification or the reset; None while nobody has begun.
        seconds: how long the process that is at it has been.
        swap_seconds: how long readers waited for the swap of a rebuild.
        upto_position: of the read model when it ended.
        differences: the first that a verification found; None where none has ended.
        difference_count: how many it found, at most 1000.
        error: why it failed, in words.
    """

    run_id: UUID
    projection: str
    act: Act
    state: RunState
    actor: str
    reason: str
    tries: int
    phase: str | None
    events_done: int
    events_total: int
    seconds: float
    swap_seconds: float | None
    upto_position: int | None
    differences: tuple[Difference, ...] | None
    difference_count: int | None
    error: str | None
    requested_at: datetime
    started_at: datetime | None
    updated_at: datetime
    ended_at: datetime | None

    @property
    def events_per_second(self) -> float:
        """How fast it was from the beginning until now."""
        return self.events_done / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """How long the events that are left will take at this speed; None while nobody can tell."""
        if self.state is not RunState.RUNNING or not self.events_per_second:
            return None
        return (self.events_total - self.events_done) / self.events_per_second


class Runs:
    """The runs of all projections; a projector's conductor carries them out."""

    def __init__(self, ledger: Ledger) -> None:
        self._database: Database = ledger.database

    async def request(self, projection: Projection, act: Act, *, reason: str, origin: Origin) -> Run:
        """Ask for something to be done with a read model.

        Raises:
            NotVerifiableError: the projection does not say how to compare.
            RunOpenError: it has a run that has not ended.
            StoreUnavailableError: the database is out of reach.
        """
        if act is Act.VERIFY and not projection.difference_statement:
            raise NotVerifiableError(projection.name)
        facts = (projection.name, act, origin.actor, origin.correlation_id, reason)
        async with self._database.connection() as connection:
            for _ in range(_REQUEST_TRIES_MAX):
                row = await connection.fetchrow(query("request_projection_run"), uuid7(), *facts)
                if row is not None:
                    return _run_of(row)
                is_open = await connection.fetchrow(query("open_run_of_projection"), projection.name)
                if is_open is not None:  # else it has ended in between
                    raise RunOpenError(name=projection.name, act=is_open["act"], run_id=is_open["run_id"])
        raise StoreRefusedError(f"the runs of {projection.name} came and went each of {_REQUEST_TRIES_MAX} times")

    async def read(self, run_id: UUID) -> Run:
        """Return a run.

        Raises:
            RunNotFoundError: there is none.
            StoreUnavailableError: the database is out of reach.
        """
        async with self._database.connection() as connection:
            row = await connection.fetchrow(query("read_projection_run"), run_id)
        if row is None:
            raise RunNotFoundError(run_id)
        return _run_of(row)

    async def newest(
        self, *, limit: int, projection: str | None = None, before: UUID | None = None
    ) -> Sequence[Run]:
        """Return runs, newest first; raises StoreUnavailableError where the database is out of reach."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("list_projection_runs"), projection, before, limit)
        return [_run_of(row) for row in rows]


def _run_of(row: asyncpg.Record) -> Run:
    found = None if row["differences"] is None else orjson.loads(row["differences"])
    return Run(
        **{
            **row,
            "run_id": UUID(int=row["run_id"].int),
            "act": Act(row["act"]),
            "state": RunState(row["state"]),
            "differences": None if found is None else tuple(Difference(**one) for one in found),
        }
    )
