"""What one queue holds back and what of its limits is used, seen in the transaction that lets tasks through."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from ledger.queries import query
from ledger.queues.admission import Candidate, Selection, Turns, Use, room_of_key, room_of_queue, select
from ledger.queues.policy import QueuePolicy

_GROUPS_MAX = 500
_BEFORE_ALL = (-1, UUID(int=0))

Group = tuple[str, str]
FIRST_GROUP: Group = ("", "")


class HeldTasks:
    """The held tasks of a queue whose row the caller has locked.

    Args:
        ahead_max: how many tasks may be let through that no worker has started yet.
    """

    def __init__(self, connection: asyncpg.Connection, policy: QueuePolicy, *, ahead_max: int) -> None:
        self._connection = connection
        self._policy = policy
        self._ahead_max = ahead_max
        self.next_begin = FIRST_GROUP

    async def follow_permits(self) -> None:
        """Note of every permit what became of its task, and drop those that count for nothing any more."""
        name, rates = self._policy.name, (self._policy.rate, self._policy.key_rate)
        window_seconds = max((rate.seconds for rate in rates if rate is not None), default=0.0)
        await self._connection.execute(query("follow_permits"), name)
        await self._connection.execute(query("drop_spent_permits"), name, window_seconds)

    async def select(self, virtual_time: float, *, begin: Group) -> Selection:
        """Return who is to be let through next.

        Args:
            virtual_time: how far the turns of the tenants have come.
            begin: where the last look at the tenants and keys stopped, if there are too many for one.
        """
        room = room_of_queue(self._policy, await self._use(), ahead_max=self._ahead_max)
        if not room:
            return Selection((), Turns(virtual_time))
        if not self._is_grouped:
            candidates = await self._first(room)
            return select(candidates, self._policy, Turns(virtual_time), room=room, rooms_of_keys={})
        groups = await self._groups(begin)
        rooms = await self._rooms_of_keys(groups, room)
        open_groups = [group for group in groups if rooms.get(group[1], 1)]
        candidates = await self._of_groups(open_groups, room)
        turns = Turns(virtual_time, await self._finish_times({tenant for tenant, _ in open_groups}))
        return select(candidates, self._policy, turns, room=room, rooms_of_keys=rooms)

    async def keep(self, turns: Turns) -> None:
        """Keep how far the turns have come."""
        if not self._policy.fair:
            return
        tenants = list(turns.finish_times)
        finish_times = [turns.finish_times[tenant] for tenant in tenants]
        await self._connection.execute(query("set_tenant_shares"), self._policy.name, tenants, finish_times)
        await self._connection.execute(query("set_virtual_time"), self._policy.name, turns.virtual_time)

    @property
    def _is_grouped(self) -> bool:
        # Without turns and limits by key the order is one line, however many tenants and keys stand in it.
        policy = self._policy
        return policy.fair or policy.key_concurrency_max is not None or policy.key_rate is not None

    async def _use(self) -> Use:
        seconds = self._policy.rate.seconds if self._policy.rate is not None else 0.0
        (row,) = await self._connection.fetch(query("permits_used"), self._policy.name, seconds)
        live = row["live"] + row["unpermitted"]
        return Use(live=live, unstarted=row["unstarted"], in_window=row["in_window"])

    async def _first(self, room: int) -> list[Candidate]:
        name = self._policy.name
        rows = await self._connection.fetch(query("held_tasks"), name, *_BEFORE_ALL, room)
        return [_candidate(row) for row in rows]

    async def _groups(self, begin: Group) -> list[Group]:
        rows = await self._connection.fetch(query("held_groups"), self._policy.name, *begin, _GROUPS_MAX)
        groups = [(row["tenant"], row["key"]) for row in rows]
        self.next_begin = FIRST_GROUP
        if len(groups) == _GROUPS_MAX:
            tenant, key = groups[-1]
            self.next_begin = (tenant, key + "\x01")  # there is no text between the two
        return groups

    async def _of_groups(self, groups: Sequence[Group], room: int) -> list[Candidate]:
        if not groups:
            return []
        tenants, keys = (list(column) for column in zip(*groups, strict=True))
        each = max(1, 2 * room // len(groups))
        rows = await self._connection.fetch(query("held_tasks_of_groups"), self._policy.name, tenants, keys, each)
        return [_candidate(row) for row in rows]

    async def _rooms_of_keys(self, groups: Sequence[Group], room: int) -> dict[str, int]:
        keys = sorted({key for _, key in groups if key})
        seconds = self._policy.key_rate.seconds if self._policy.key_rate is not None else 0.0
        rows = await self._connection.fetch(query("permits_used_by_key"), self._policy.name, keys, seconds)
        uses = {row["key"]: Use(live=row["live"], in_window=row["in_window"]) for row in rows}
        return {key: room_of_key(self._policy, uses.get(key, Use()), room=room) for key in keys}

    async def _finish_times(self, tenants: set[str]) -> dict[str, float]:
        rows = await self._connection.fetch(query("tenant_shares"), self._policy.name, sorted(tenants))
        return {row["tenant"]: row["finish_time"] for row in rows}


def _candidate(row: asyncpg.Record) -> Candidate:
    return Candidate(row["task_id"], row["version"], row["rank"], row["tenant"] or "", row["key"])
