"""The log: every event, newest first, and with a script as it happens; and the audit, which searches it."""

from collections.abc import Mapping
from typing import Any

from api.dashboard.ask import Visit
from ledger.codec import EVENT_TYPES
from ledger.history.audit import ACTS, AuditSource

_PAGE = 100
_FILTERS = ("kind", "queue", "actor", "correlation_id", "since", "until", "cursor")
_AUDITED = ("source", "order", "task_id", "reason")


async def events(visit: Visit) -> Mapping[str, Any]:
    """Gather a page of the log."""
    asked = {name: visit.query.get(name) for name in _FILTERS}
    types = [one for one in visit.query.getlist("types") if one]
    found = await visit.get("/audit", {**asked, "types": types, "limit": _PAGE})
    return {**found, "types": tuple(EVENT_TYPES), "wanted": types}


async def audit(visit: Visit) -> Mapping[str, Any]:
    """Gather a page of what an auditor searches for, and how far the log is sealed."""
    asked = {name: visit.query.get(name) for name in (*_FILTERS, *_AUDITED)}
    types = [one for one in visit.query.getlist("types") if one]
    found = await visit.get("/audit", {**asked, "types": types, "limit": _PAGE})
    source = AuditSource(visit.query.get("source") or AuditSource.EVENTS)
    return {
        **found,
        "sources": tuple(AuditSource),
        "source": source,
        "acts": ACTS[source],
        "wanted": types,
        "seals": await visit.find("/seals", {"limit": 1}),
    }
