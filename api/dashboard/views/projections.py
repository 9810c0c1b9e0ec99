"""The projections: how far each read model is, what was asked to be done with it, and how far that is."""

from collections.abc import Mapping
from typing import Any

from api.dashboard.ask import Visit

_RUNS = 20


async def projections(visit: Visit) -> Mapping[str, Any]:
    """Gather the projections and their latest runs."""
    found = await visit.get("/projections")
    runs = await visit.find("/projections/runs", {"limit": _RUNS})
    return {"projections": found["projections"], "runs": runs["runs"] if runs else []}
