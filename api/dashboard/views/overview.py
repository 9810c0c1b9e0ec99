"""The overview: how many tasks there are, what moves, what lags behind, and what broke."""

from collections.abc import Mapping
from typing import Any

from api.dashboard.ask import Visit
from api.dashboard.charts import stacked

_RECENT_MAX = 10
_OUTCOMES = {
    "COMPLETED": lambda point: float(point["completed"]),
    "FAILED": lambda point: float(point["failed"]),
    "PENDING": lambda point: float(point["will_retry"]),
}


async def overview(visit: Visit) -> Mapping[str, Any]:
    """Gather the overview."""
    stats = await visit.find("/stats")
    return {
        "stats": stats,
        "throughput": stacked(stats["points"], _OUTCOMES, what="By the minute") if stats else None,
        "ledger": await visit.find("/ledger"),
        "queues": (await visit.find("/queues") or {"queues": []})["queues"],
        "health": await visit.find("/health/ready"),
        "failed": (await visit.find("/tasks", {"status": "FAILED", "limit": _RECENT_MAX}) or {"tasks": []})[
            "tasks"
        ],
        "recent": (await visit.find("/audit", {"limit": _RECENT_MAX}) or {"entries": []})["entries"],
    }
