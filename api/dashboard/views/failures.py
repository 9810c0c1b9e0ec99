"""The failures in groups: what goes wrong again and again, since when, and how often by the hour."""

from collections.abc import Mapping
from typing import Any

from api.dashboard.ask import Visit
from api.dashboard.charts import stacked

_PAGE = 50
_FILTERS = ("kind", "queue", "since", "cursor")


async def failures(visit: Visit) -> Mapping[str, Any]:
    """Gather a page of failure groups."""
    return await visit.get("/failures", {**{name: visit.query.get(name) for name in _FILTERS}, "limit": _PAGE})


async def failure(visit: Visit) -> Mapping[str, Any]:
    """Gather one group with its trend."""
    group = await visit.get(f"/failures/{visit.request.path_params['failure_id']}")
    measures = {
        "FAILED": lambda point: float(point["final"]),
        "PENDING": lambda point: float(point["attempts"] - point["final"]),
    }
    return {
        "group": group,
        "trend": stacked(group["trend"], measures, time="hour", what="Failures by the hour"),
    }
