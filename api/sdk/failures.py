"""Failures in groups, and the statistics of what was done."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from api.sdk.calls import Call, Cursor, Page, look, page_reader, reader
from api.sdk.operations import Asked, Blocking, Listed, Looping


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureHour:
    """How many attempts failed in an hour, and how many of them for good."""

    hour: datetime
    attempts: int
    final: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Failures with one type, one normalised message and one top frame; a list leaves out the trend."""

    id: UUID
    type: str
    message: str
    frame: str
    attempts: int
    final: int
    first_seen: datetime
    last_seen: datetime
    last_position: int = 0
    tasks: tuple[UUID, ...] = ()
    kinds: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    trend: tuple[FailureHour, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """How long something took, in seconds."""

    count: int
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was done in a while; `at` is when it began, None for the sum of all."""

    submitted: int
    started: int
    completed: int
    failed: int
    will_retry: int
    cancelled: int
    retried: int
    completed_per_second: float
    queued: Latencies
    run: Latencies
    failure_share: float | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What was done, from point to point."""

    since: datetime
    until: datetime
    step: float
    totals: Figures
    points: tuple[Figures, ...] = field(default=(), repr=False)


class FailureOperations:
    """What fails, and how much is done."""

    @Listed
    def list(
        self, cursor: Cursor, *, kind: str | None = None, queue: str | None = None, since: datetime | None = None
    ) -> Call[Page[FailureGroup]]:
        """Yield the groups of failures, those seen last first, a page at a time."""
        query = {"kind": kind, "queue": queue, "since": since, "cursor": cursor}
        return look(page_reader(FailureGroup, "failures", "next_cursor"), "failures", query=query)

    @Asked
    def get(self, failure_id: UUID | str) -> Call[FailureGroup]:
        """Return a group of failures with its trend; raises NotFoundError."""
        return look(reader(FailureGroup), "failures", failure_id)

    @Asked
    def stats(
        self,
        *,
        queue: str | None = None,
        kind: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        step: int | None = None,
    ) -> Call[Stats]:
        """Return how much was done and how long it took, a point each `step` seconds."""
        query = {"queue": queue, "kind": kind, "since": since, "until": until, "step": step}
        return look(reader(Stats), "stats", query=query)


class Failures(FailureOperations, Blocking):
    """The failures and the statistics; as `TaskLedger.failures`."""


class AsyncFailures(FailureOperations, Looping):
    """The failures and the statistics; as `AsyncTaskLedger.failures`."""
