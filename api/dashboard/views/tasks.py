"""The tasks: a list with its filters in the address, and one task with everything that is known of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from api.dashboard.ask import Visit
from api.dashboard.timeline import timeline_of

STATUSES = ("PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED")
_FINISHED = STATUSES[2:]
_ERASED = "task.erased"
_PAGE = 50
_HISTORY_MAX = 500
_FILTERS = ("kind", "queue", "created_after", "created_before", "as_of", "cursor")


async def tasks(visit: Visit) -> Mapping[str, Any]:
    """Gather a page of tasks, and how many there are by status, queue and kind."""
    query = visit.query
    asked = {name: query.get(name) for name in _FILTERS}
    several = {"status": query.getlist("status"), "tag": [tag for tag in query.getlist("tag") if tag]}
    found = await visit.get("/tasks", {**asked, **several, "limit": _PAGE})
    return {
        "tasks": found["tasks"],
        "next_cursor": found["next_cursor"],
        "counts": await visit.find("/ledger", {"as_of": query.get("as_of")}),
        "statuses": STATUSES,
        "wanted": several["status"],
        "bulk_filter": _bulk_filter(asked, several),
    }


async def task(visit: Visit) -> Mapping[str, Any]:
    """Gather a task: its row, its history, the state that its events fold into, and why it is where it is."""
    path = f"/tasks/{visit.request.path_params['task_id']}"
    row = await visit.get(path)
    events = await visit.find(f"{path}/events", {"limit": _HISTORY_MAX})
    history: Sequence[Mapping[str, Any]] = events["events"] if events else []
    last = history[-1]["version"] if history else row["version"]
    version = _version(visit.query.get("version"), last)
    folded = await visit.find(path, {"as_of_version": version})
    return {
        "task": row,
        "events": history,
        "is_whole": not events or events["next_after_version"] is None,
        "version": version,
        "last_version": last,
        "folded": folded,
        "differences": _differences(row, folded) if folded and version == row["version"] else [],
        "explained": await visit.find(f"{path}/explain"),
        "timeline": timeline_of(history, is_open=row["status"] in ("PENDING", "RUNNING")),
        **await _erasure(visit, row, history),
    }


async def _erasure(visit: Visit, row: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    # Without a history, as of an archived month, nobody can say and nothing can be erased.
    is_erasable = bool(history and history[0]["data"].get("erasable"))
    erased = next((event for event in reversed(history) if event["type"] == _ERASED), None)
    if is_erasable and erased is None and len(history) == _HISTORY_MAX:
        found = await visit.find("/audit", {"task_id": row["task_id"], "types": [_ERASED], "limit": 1})
        erased = next(iter(found["entries"] if found else []), None)
    is_finished = row["status"] in _FINISHED
    return {"erased": erased, "may_be_erased": is_erasable and is_finished and erased is None}


def _bulk_filter(asked: Mapping[str, Any], several: Mapping[str, Sequence[str]]) -> Mapping[str, Any] | None:
    # What a bulk act is asked to act upon: what the page shows, unless that is the past, or everything.
    if asked["as_of"]:
        return None
    names = ("kind", "queue", "created_after", "created_before")
    found = {name: asked[name] for name in names if asked[name]}
    found |= {name: values for name, values in (("status", several["status"]), ("tags", several["tag"])) if values}
    return found or None


def _version(text: str | None, last: int) -> int:
    return min(max(int(text), 1), last) if text and text.isdecimal() and text.isascii() else last


def _differences(row: Mapping[str, Any], folded: Mapping[str, Any]) -> list[str]:
    return [name for name, value in folded.items() if name in row and row[name] != value]
