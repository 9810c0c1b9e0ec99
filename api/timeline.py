"""The timeline of a task: where its time went, and a lane for each attempt; from the read model or the stream.

Between two moves a task waits (pending, and something holds it back), is queued (ready), runs, or is finished.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import orjson

from ledger.bootstrap import Ledger
from ledger.errors import StoreRefusedError, TaskNotFoundError
from ledger.queries import query
from ledger.store.records import RecordedEvent

LANES_MAX = 100
_UNDEFINED_TABLE = "42P01"
_STATES = {
    "task.submitted": "queued",
    "task.released": "queued",
    "task.retried": "queued",
    "task.held": "waiting",
    "task.started": "running",
    "task.completed": "finished",
    "task.failed": "finished",
    "task.cancelled": "finished",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One attempt: ready since when, run by whom from when until when, and how it ended; None while it is open."""

    attempt: int
    worker: str
    ready_at: datetime
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    cause: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A task's timeline. The seconds are those of states that are over; `state` lasts since `since`.

    Attributes:
        ready_at: when it was ready for the first time.
        started_at: when it was started for the first time.
        total_seconds: from its submission until it was finished, None while it is not.
        attempts: how many there were; the last LANES_MAX of them have lanes.
    """

    task_id: UUID
    version: int
    position: int
    kind: str
    queue: str
    state: str
    since: datetime
    submitted_at: datetime
    ready_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    waiting_seconds: float
    queued_seconds: float
    running_seconds: float
    total_seconds: float | None
    attempts: int
    releases: int
    holds: int
    lanes: Sequence[Lane]


class TimelineReader:
    """Reads timelines; a task that was answered 202 has one, however far behind the read model is."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database
        self._store = ledger.store

    async def find(self, task_id: UUID, *, position_min: int = 0) -> Timeline:
        """Return the timeline from the read model, or folded from the stream where that is older than asked for.

        Raises:
            TaskNotFoundError: the ledger has no such stream.
            StoreUnavailableError: the database is out of reach.
        """
        row = await self._row(task_id)
        if row is not None and row.position >= position_min:
            return row
        stream = await self._store.read_stream(task_id)
        if stream:
            return timeline_of(stream)
        if row is None:
            raise TaskNotFoundError(task_id)
        return row

    async def _row(self, task_id: UUID) -> Timeline | None:
        try:
            async with self._database.connection() as connection:
                row = await connection.fetchrow(query("find_timeline"), task_id)
        except StoreRefusedError as error:
            if getattr(error.__cause__, "sqlstate", None) == _UNDEFINED_TABLE:
                return None
            raise
        return None if row is None else timeline_of_row(dict(row))


def timeline_of_row(row: Mapping[str, Any]) -> Timeline:
    """Return the timeline that a row of the read model holds."""
    facts = {name: row[name] for name in _COLUMNS}
    return Timeline(**facts, lanes=[Lane(**_lane(lane)) for lane in orjson.loads(row["lanes"])])


def timeline_of(events: Sequence[RecordedEvent]) -> Timeline:
    """Fold a whole stream, in its order, into what its row in the read model will be."""
    moves = [event for event in events if event.type in _STATES]
    states = [_state(move) for move in moves]
    spent = dict.fromkeys(("waiting", "queued", "running", "finished"), timedelta())
    for state, (move, following) in zip(states, pairwise(moves), strict=False):
        spent[state] += following.recorded_at - move.recorded_at
    first, last = moves[0], moves[-1]
    is_finished = states[-1] == "finished"
    lanes = _lanes(moves)
    return Timeline(
        task_id=first.task_id,
        version=last.version,
        position=last.position,
        kind=first.kind,
        queue=first.queue,
        state=states[-1],
        since=last.recorded_at,
        submitted_at=first.recorded_at,
        ready_at=_first(moves, states, "queued"),
        started_at=_first(moves, states, "running"),
        finished_at=last.recorded_at if is_finished else None,
        waiting_seconds=spent["waiting"].total_seconds(),
        queued_seconds=spent["queued"].total_seconds(),
        running_seconds=spent["running"].total_seconds(),
        total_seconds=(last.recorded_at - first.recorded_at).total_seconds() if is_finished else None,
        attempts=len(lanes),
        releases=sum(move.type == "task.released" for move in moves),
        holds=sum(move.type == "task.held" for move in moves),
        lanes=lanes[-LANES_MAX:],
    )


def _state(move: RecordedEvent) -> str:
    words = orjson.loads(move.data)
    holds_back = {"task.submitted": ("run_at", "hold"), "task.failed": ("retry_at",)}.get(move.type, ())
    return "waiting" if any(words.get(word) is not None for word in holds_back) else _STATES[move.type]


def _lanes(moves: Sequence[RecordedEvent]) -> list[Lane]:
    lanes = []
    for number, move in enumerate(moves):
        if move.type != "task.started":
            continue
        words = orjson.loads(move.data)
        ending = moves[number + 1] if number + 1 < len(moves) else None
        lanes.append(
            Lane(
                attempt=words["attempt"],
                worker=words["worker_id"],
                ready_at=moves[number - 1].recorded_at,
                started_at=move.recorded_at,
                ended_at=None if ending is None else ending.recorded_at,
                outcome=None if ending is None else _outcome(ending),
                cause=None if ending is None else orjson.loads(ending.data).get("cause"),
            )
        )
    return lanes


def _outcome(ending: RecordedEvent) -> str:
    return "will_retry" if _state(ending) == "waiting" else ending.type.removeprefix("task.")


def _first(moves: Sequence[RecordedEvent], states: Sequence[str], state: str) -> datetime | None:
    return next((move.recorded_at for move, its in zip(moves, states, strict=True) if its == state), None)


def _lane(lane: Mapping[str, Any]) -> dict[str, Any]:
    moments = {name: lane[name] for name in ("ready_at", "started_at", "ended_at")}
    return {**lane, **{name: text and datetime.fromisoformat(text) for name, text in moments.items()}}


_COLUMNS = tuple(field.name for field in fields(Timeline) if field.name != "lanes")
