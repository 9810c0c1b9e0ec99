"""What operators look at: queues, dead letters, schedules; and the form that submits."""

from collections.abc import Mapping
from typing import Any

from api.dashboard.ask import Visit

_PAGE = 50
_LETTER_FILTERS = ("kind", "task_kind", "queue", "error_type", "cause", "died_after", "died_before", "cursor")
_RECENT_MAX = 15


async def queues(visit: Visit) -> Mapping[str, Any]:
    """Gather the queues."""
    return await visit.get("/queues")


async def dead_letters(visit: Visit) -> Mapping[str, Any]:
    """Gather a page of dead letters."""
    asked = {name: visit.query.get(name) for name in _LETTER_FILTERS}
    return await visit.get("/dead-letters", {**asked, "tag": visit.query.getlist("tag"), "limit": _PAGE})


async def schedules(visit: Visit) -> Mapping[str, Any]:
    """Gather the schedules."""
    return await visit.get("/schedules")


async def submit(visit: Visit) -> Mapping[str, Any]:
    """Gather what the form offers, and the tasks that were submitted last."""
    recent = await visit.find("/tasks", {"limit": _RECENT_MAX})
    counts = await visit.find("/ledger")
    return {"recent": recent["tasks"] if recent else [], "kinds": sorted(counts["by_kind"]) if counts else []}
