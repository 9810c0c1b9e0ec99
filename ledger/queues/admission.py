"""Which of the tasks that a queue holds back are let through next. Pure: counts and shares come in, picks go out.

Tenants take turns by start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queueing", SIGCOMM 1996), with
one task as the unit of service: it costs its tenant 1 / weight of virtual time; whoever has used least is next.
A tenant that comes back begins where the turns are, so nobody saves up turns while he has nothing to run.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from ledger.queues.policy import QueuePolicy


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task that is held back; the lowest rank is the most urgent."""

    task_id: UUID
    version: int
    rank: int
    tenant: str
    key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What is used of a queue's limits, or of a key's.

    Attributes:
        live: tasks that are let through and unfinished.
        unstarted: those of them that no worker has started.
        in_window: starts within the rate's time, those to come included.
    """

    live: int = 0
    unstarted: int = 0
    in_window: int = 0


@dataclass(frozen=True, slots=True)
class Turns:
    """How far the turns of the tenants have come, in virtual time."""

    virtual_time: float = 0.0
    finish_times: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Selection:
    """Who is let through, in order, and the turns after that: of those tenants alone who had one."""

    picks: Sequence[Candidate]
    turns: Turns


def room_of_queue(policy: QueuePolicy, use: Use, *, ahead_max: int) -> int:
    """Return how many tasks a queue may let through now; `ahead_max` bounds those that have not started yet."""
    rooms = [ahead_max - use.unstarted]
    if policy.concurrency_max is not None:
        rooms.append(policy.concurrency_max - use.live)
    if policy.rate is not None:
        rooms.append(policy.rate.count_max - use.in_window)
    return max(0, min(rooms))


def room_of_key(policy: QueuePolicy, use: Use, *, room: int) -> int:
    """Return how many tasks of one key a queue may let through now, where the queue itself has that much room."""
    rooms = [room]
    if policy.key_concurrency_max is not None:
        rooms.append(policy.key_concurrency_max - use.live)
    if policy.key_rate is not None:
        rooms.append(policy.key_rate.count_max - use.in_window)
    return max(0, min(rooms))


def select(
    candidates: Iterable[Candidate],
    policy: QueuePolicy,
    turns: Turns,
    *,
    room: int,
    rooms_of_keys: Mapping[str, int],
) -> Selection:
    """Pick at most `room` candidates: the tenants in turn, and of each tenant the most urgent and oldest first.

    Args:
        candidates: in any order.
        policy: whether tenants take turns, and with which weights.
        turns: how far they have come.
        room: how many the queue has room for.
        rooms_of_keys: how many each key has room for; a key that is not named has no limit.
    """
    lines = _lines(candidates, is_fair=policy.fair)
    rooms = dict(rooms_of_keys)
    finish_times: dict[str, float] = {}
    virtual_time = turns.virtual_time
    start_times = [(max(virtual_time, turns.finish_times.get(tenant, 0.0)), tenant) for tenant in lines]
    heapq.heapify(start_times)
    picks: list[Candidate] = []
    while start_times and len(picks) < room:
        start_time, tenant = heapq.heappop(start_times)
        pick = _next_of(lines[tenant], rooms)
        if pick is None:
            continue
        picks.append(pick)
        virtual_time = start_time
        finish_times[tenant] = start_time + 1.0 / policy.weights.get(tenant, 1.0)
        heapq.heappush(start_times, (finish_times[tenant], tenant))
    return Selection(picks, Turns(virtual_time, finish_times))


def _lines(candidates: Iterable[Candidate], *, is_fair: bool) -> dict[str, list[Candidate]]:
    lines: defaultdict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        lines[candidate.tenant if is_fair else ""].append(candidate)
    for line in lines.values():
        line.sort(key=lambda one: (one.rank, one.task_id), reverse=True)  # the next one is the last
    return lines


def _next_of(line: list[Candidate], rooms: dict[str, int]) -> Candidate | None:
    while line:
        candidate = line.pop()
        if candidate.key is None or candidate.key not in rooms:
            return candidate
        if rooms[candidate.key] > 0:
            rooms[candidate.key] -= 1
            return candidate
    return None
