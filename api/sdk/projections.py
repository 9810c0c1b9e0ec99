"""Projections: the read models, how far they are, and their rebuilds, verifications and resets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from api.sdk.calls import Call, Cursor, Page, act, items_reader, look, nothing, page_reader, reader
from api.sdk.errors import RunFailedError
from api.sdk.following import Stream
from api.sdk.operations import Asked, Blocking, Listed, Looping, Scripted, Streamed
from api.sdk.scripts import Script, until


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Why a read model does not go on, and where."""

    position: int
    error: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where a read model is not what the ledger says."""

    key: str
    column: str
    expected: str | None = None
    found: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A rebuild, a verification or a reset, at one moment.

    Attributes:
        act: rebuild, verify or reset.
        state: queued, running, succeeded or failed; a verification that found differences has succeeded.
        differences: the first that a verification found.
        difference_count: how many it found.
        error: why it failed, in words.
    """

    run_id: UUID
    projection: str
    act: str
    state: str
    phase: str | None = None
    events_done: int = 0
    events_total: int = 0
    events_per_second: float = 0.0
    eta_seconds: float | None = None
    swap_seconds: float | None = None
    position: int | None = None
    differences: tuple[Difference, ...] = ()
    difference_count: int | None = None
    error: str | None = None
    tries: int = 0
    actor: str = ""
    reason: str = ""
    requested_at: datetime | None = None
    started_at: datetime | None = None
    updated_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is done."""
        return self.state in ("succeeded", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """A read model; `error` says why it does not go on. A list leaves out the last run."""

    name: str
    version: int
    made_by: int | None = None
    position: int | None = None
    horizon: int = 0
    events_behind: int = 0
    lag_seconds: float = 0.0
    tables: tuple[str, ...] = ()
    error: Halt | None = None
    last_run: Run | None = None


class ProjectionOperations:
    """The read models. A run is carried out by a projector: look with `run`, `follow` it, or `wait` for it."""

    @Asked
    def list(self) -> Call[Sequence[Projection]]:
        """Return all projections that the server knows."""
        return look(items_reader(Projection, "projections"), "projections")

    @Asked
    def get(self, name: str) -> Call[Projection]:
        """Return a projection and its last run; raises NotFoundError."""
        return look(reader(Projection), "projections", name)

    @Asked
    def rebuild(self, name: str, *, reason: str = "") -> Call[Run]:
        """Build a read model anew beside the one that is read; raises ConflictError while it has an open run."""
        return _requested(name, "rebuild", reason)

    @Asked
    def verify(self, name: str, *, reason: str = "") -> Call[Run]:
        """Compare a read model with the ledger; raises ConflictError while it has an open run."""
        return _requested(name, "verify", reason)

    @Asked
    def reset(self, name: str, *, reason: str = "") -> Call[Run]:
        """Empty a read model, and fold it from the beginning; raises ConflictError while it has an open run."""
        return _requested(name, "reset", reason)

    @Listed
    def runs(self, before: Cursor, name: str | None = None) -> Call[Page[Run]]:
        """Yield the runs of a projection, or of all, newest first."""
        parts = ("projections", "runs") if name is None else ("projections", name, "runs")
        return look(page_reader(Run, "runs", "next_before"), *parts, query={"before": before})

    @Asked
    def run(self, run_id: UUID | str) -> Call[Run]:
        """Return how far a run has come; raises NotFoundError."""
        return _shown(run_id)

    @Streamed
    def follow(self, run_id: UUID | str) -> Stream[Run]:
        """Yield a run as it goes on, until it has ended; raises NotFoundError."""
        return Stream(look(nothing, "projections", "runs", run_id, "stream"), Run, last_type="ended")

    @Scripted
    def wait(self, run_id: UUID | str, timeout: float | None = None) -> Script[Run]:
        """Wait until a run has ended, and return it.

        Raises:
            RunFailedError: it failed; `error` says why.
            StillAtWorkError: it had not ended after `timeout` seconds; it goes on.
        """
        what = f"run {run_id}"
        run = yield from until(_shown(run_id), lambda seen: seen.has_ended, what=what, timeout=timeout)
        if run.state == "failed":
            raise RunFailedError(run.run_id, error=run.error or "no reason was given")
        return run


class Projections(ProjectionOperations, Blocking):
    """The projections; as `TaskLedger.projections`."""


class AsyncProjections(ProjectionOperations, Looping):
    """The projections; as `AsyncTaskLedger.projections`."""


def _shown(run_id: UUID | str) -> Call[Run]:
    return look(reader(Run), "projections", "runs", run_id)


def _requested(name: str, what: str, reason: str) -> Call[Run]:
    return act(reader(Run), "projections", name, what, body={"reason": reason})
