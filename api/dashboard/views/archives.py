"""The archives: months that have left the log; and what was ordered to be erased by a tag, and how far that is."""

from collections.abc import Mapping, Sequence
from typing import Any

from api.dashboard.ask import Visit
from ledger.history.audit import AuditSource

_ORDERS = 10


async def archives(visit: Visit) -> Mapping[str, Any]:
    """Gather the archives, newest month first, and a page of the erasures."""
    found = await visit.get("/archives")
    ordered = await visit.get(
        "/audit", {"source": AuditSource.ERASURE_ORDERS, "cursor": visit.query.get("cursor"), "limit": _ORDERS}
    )
    return {
        "archives": found["archives"][::-1],
        "erasures": await _erasures(visit, [entry["id"] for entry in ordered["entries"]]),
        "next_cursor": ordered["next_cursor"],
    }


async def erasure(visit: Visit) -> Mapping[str, Any]:
    """Gather one erasure by a tag."""
    return {"erasure": await visit.get(f"/erasures/{visit.request.path_params['order_id']}")}


async def _erasures(visit: Visit, order_ids: Sequence[str]) -> list[Mapping[str, Any]]:
    asked = [await visit.find(f"/erasures/{order_id}") for order_id in order_ids]
    return [one for one in asked if one is not None]
