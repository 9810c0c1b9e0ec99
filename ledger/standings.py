"""How tasks stand, by the end of their streams: for who decides about others that wait for them."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from ledger.queries import query
from ledger.store.connection import Database
from ledger.task_words import Status

_TASKS_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Standing:
    """A task's status, and the event that brought it there: its id and where it stands in the log."""

    status: Status
    event_id: str
    position: int


async def standings_of(database: Database, task_ids: Collection[UUID]) -> dict[UUID, Standing]:
    """Return how these tasks stand; one without events has no entry."""
    standings: dict[UUID, Standing] = {}
    asked = list(task_ids)
    for first in range(0, len(asked), _TASKS_AT_ONCE):
        async with database.connection() as connection:
            rows = await connection.fetch(query("standings_of_tasks"), asked[first : first + _TASKS_AT_ONCE])
        for row in rows:
            event_id = f"{row['task_id']}:{row['version']}"
            standings[row["task_id"]] = Standing(Status(row["status"]), event_id, row["position"])
    return standings
