"""The processes at work: the workers with what they run, the relay, and the queues of the broker."""

from collections.abc import Mapping
from typing import Any

from api.dashboard.ask import Visit

_ACTS = 20


async def workers(visit: Visit) -> Mapping[str, Any]:
    """Gather the workers."""
    return await visit.get("/workers", {"queue": visit.query.get("queue")})


async def relay(visit: Visit) -> Mapping[str, Any]:
    """Gather the relay and the broker."""
    return await visit.get("/relay")


async def bulk_acts(visit: Visit) -> Mapping[str, Any]:
    """Gather what was asked to be done about many, and how far it is."""
    return await visit.get("/bulk-acts", {"limit": _ACTS, "before": visit.query.get("before")})
