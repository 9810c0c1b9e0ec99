"""The webhooks: to whom events are sent, and of each what was sent, what was answered, and who changed what."""

from collections.abc import Mapping
from typing import Any

from api.dashboard.ask import Visit
from api.webhook_schemas import Outcome
from ledger.codec import EVENT_TYPES

_PAGE = 50
_CHANGES = 10


async def webhooks(visit: Visit) -> Mapping[str, Any]:
    """Gather a page of the webhooks, and what the form offers."""
    found = await visit.get("/webhooks", {"after": visit.query.get("after"), "limit": _PAGE})
    return {**found, "types": tuple(EVENT_TYPES)}


async def webhook(visit: Visit) -> Mapping[str, Any]:
    """Gather a webhook, a page of its log, and its latest changes."""
    path, query = f"/webhooks/{visit.request.path_params['name']}", visit.query
    one = await visit.get(path)
    asked = {"outcome": query.get("outcome"), "before": query.get("before"), "limit": _PAGE}
    log = await visit.get(f"{path}/deliveries", asked)
    changes = await visit.get(f"{path}/changes", {"limit": _CHANGES})
    return {
        "webhook": one,
        **log,
        "changes": changes["changes"],
        "outcomes": tuple(Outcome),
        "types": tuple(EVENT_TYPES),
        "stumbles_over": _stumbles_over(one, log),
    }


def _stumbles_over(one: Mapping[str, Any], log: Mapping[str, Any]) -> str | None:
    # The event that `skip` has to name: the first of what was tried last and has not been passed since.
    for delivery in log["deliveries"]:
        is_failed = delivery["kind"] == "event" and delivery["outcome"] == Outcome.FAILED
        if is_failed and delivery["first_position"] > one["position"]:
            return str(delivery["message_id"]).partition("..")[0]
    return None
