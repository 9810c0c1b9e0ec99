"""The account: what the ledger itself says of what was lost, what was doubled, and how long recovery took."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from uuid import UUID

from tests.chaos.faults import Harm, Recovered
from tests.chaos.system import ChaoticSystem

_EVENTS = """
    SELECT task_id, type, extract(epoch FROM recorded_at)::float8 AS at, data::text AS data, position, queue
      FROM ledger.events ORDER BY task_id, version
"""
_WORKERS = "SELECT name, worker_id::text FROM ledger.workers"
_ENDS = frozenset({"task.completed", "task.cancelled"})
_OUTCOMES = frozenset({"task.completed", "task.failed"})
_READY = frozenset({"task.submitted", "task.released", "task.retried"})


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `at` is in seconds since the epoch, by the database's clock, which is this machine's."""

    type: str
    at: float
    data: dict[str, object]
    position: int = 0
    queue: str = ""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What one task tells of a harm: how long it took to its end (infinity: none), and in how many attempts."""

    seconds: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Account:
    """Every task's events, and which worker process had which id."""

    tasks: Mapping[UUID, Sequence[Event]]
    worker_ids: Mapping[str, str]

    @classmethod
    async def read(cls, system: ChaoticSystem) -> "Account":
        """Read the whole ledger."""
        rows = await system.fetch(_EVENTS)
        tasks = {
            task_id: [
                Event(row["type"], row["at"], json.loads(row["data"]), row["position"], row["queue"])
                for row in events
            ]
            for task_id, events in groupby(rows, key=lambda row: row["task_id"])
        }
        return cls(tasks, {row["name"]: row["worker_id"] for row in await system.fetch(_WORKERS)})

    def lost(self, accepted: Iterable[UUID]) -> list[UUID]:
        """Return the tasks, accepted or recorded, that have not ended as they should: completed, or cancelled."""
        every = {*accepted, *self.tasks}
        return [one for one in every if one not in self.tasks or self.tasks[one][-1].type not in _ENDS]

    def doubled(self) -> list[UUID]:
        """Return the tasks that completed twice, or of which an attempt has two outcomes."""
        return [task_id for task_id, events in self.tasks.items() if _is_doubled(events)]

    def at_once_max(self, queue: str) -> int:
        """Return how many tasks of a queue ran at once at most, in the order of the log."""
        log = sorted(
            (event.position, event.type, task_id)
            for task_id, events in self.tasks.items()
            for event in events
            if event.queue == queue
        )
        running: set[UUID] = set()
        at_once_max = 0
        for _, event_type, task_id in log:
            if event_type == "task.started":
                running.add(task_id)
                at_once_max = max(at_once_max, len(running))
            elif event_type in _OUTCOMES | _ENDS:
                running.discard(task_id)
        return at_once_max

    def recoveries(self, harms: Sequence[Harm]) -> dict[Harm, list[Recovery]]:
        """Return, for each harm, how long each task took that tells when it was over."""
        by_worker = self._by_worker()
        return {harm: self._recovery(harm, by_worker) for harm in harms}

    def _recovery(self, harm: Harm, by_worker: Mapping[str, Sequence[Sequence[Event]]]) -> list[Recovery]:
        match harm.recovered:
            case Recovered.HELD:
                worker_id = self.worker_ids.get(harm.worker, "")
                held = [events for events in by_worker[worker_id] if _is_held(events, worker_id, harm.at)]
                return [_end_after(events, harm.at) for events in held]
            case Recovered.READY:
                ready = [events for events in self.tasks.values() if _is_ready(events, harm.at)]
                return [_end_after(events, harm.at) for events in ready]
            case Recovered.NEXT:
                later = [
                    events
                    for events in self.tasks.values()
                    if events[0].at > harm.at and events[-1].type == "task.completed"
                ]
                ends = (_end_after(events, harm.at) for events in later)
                return sorted(ends, key=lambda end: end.seconds)[:1]

    def _by_worker(self) -> Mapping[str, Sequence[Sequence[Event]]]:
        tasks: defaultdict[str, list[Sequence[Event]]] = defaultdict(list)
        for events in self.tasks.values():
            for worker_id in {str(event.data["worker_id"]) for event in events if event.type == "task.started"}:
                tasks[worker_id].append(events)
        return tasks


def _is_doubled(events: Sequence[Event]) -> bool:
    completed = sum(event.type == "task.completed" for event in events)
    retried = sum(event.type == "task.retried" for event in events)
    outcomes = Counter(event.data["attempt"] for event in events if event.type in _OUTCOMES)
    return completed > 1 + retried or any(count > 1 for count in outcomes.values())


def _is_held(events: Sequence[Event], worker_id: str, at: float) -> bool:
    # An append that was under way when the worker was killed may have been committed a moment later.
    for index, event in enumerate(events):
        if event.type == "task.started" and event.data["worker_id"] == worker_id and event.at < at + 1:
            ends = [later.at for later in events[index + 1 :] if later.type in _OUTCOMES | _ENDS]
            if not ends or ends[0] > at:
                return True
    return False


def _is_ready(events: Sequence[Event], at: float) -> bool:
    before = [event for event in events if event.at <= at]
    return bool(before) and before[-1].type in _READY and before[-1].data.get("run_at") is None


def _end_after(events: Sequence[Event], at: float) -> Recovery:
    after = [event for event in events if event.at > at]
    seconds = next((event.at - at for event in after if event.type in _ENDS), float("inf"))
    return Recovery(seconds, attempts=sum(event.type == "task.started" for event in after))
