"""Which operation of the client stands for which of the API, and how it is asked with everything that it takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

ID = "01900000-0000-7000-8000-000000000000"
THEN = datetime(2030, 1, 1, tzinfo=UTC)

# The same acts by their older addresses.
ALIASES = {
    f"{method} /dead-letters/{folder}/{{bulk_id}}{rest}": f"{method} /bulk-acts/{{bulk_id}}{rest}"
    for folder in ("redrives", "discards")
    for method, rest in (("GET", ""), ("POST", "/cancel"))
}


@dataclass(frozen=True, slots=True)
class Asked:
    """How the client is asked: the name of the operation, and what it is given."""

    name: str
    given: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def asked(name: str, *given: object, **options: object) -> Asked:
    """Return how the client is asked."""
    return Asked(name, given, options)


_TASK: Mapping[str, Any] = {
    "queue": "q", "priority": 1, "max_attempts": 1, "timeout_s": 1, "tags": ["t"], "key": "k", "unique_key": "u",
    "after": [ID], "on_parent_failure": "fail", "erasable": True,
}  # fmt: skip
_LOG: Mapping[str, Any] = {
    "types": ["task.failed"], "kind": "k", "queue": "q", "actor": "a", "correlation_id": "c", "since": THEN,
    "until": THEN, "after": 1,
}  # fmt: skip
_STREAM = {"types": ["task.failed"], "kind": "k", "queue": "q", "after": 1}
_AUDIT: Mapping[str, Any] = {
    "source": "events", "order": "oldest", "types": ["x"], "actor": "a", "kind": "k", "queue": "q", "task_id": ID,
    "correlation_id": "c", "reason": "r", "since": THEN, "until": THEN,
}  # fmt: skip
_TASKS: Mapping[str, Any] = {
    "status": "FAILED", "kind": "k", "queue": "q", "tag": "t", "created_after": THEN, "created_before": THEN,
    "as_of": THEN,
}  # fmt: skip
_CHOICE: Mapping[str, Any] = {
    "status": ["FAILED"], "kind": "k", "queue": "q", "tags": ["t"], "error_type": "E", "created_after": THEN,
    "created_before": THEN,
}  # fmt: skip
_LETTERS: Mapping[str, Any] = {
    "kind": "task", "task_kind": "k", "queue": "q", "error_type": "E", "cause": "error", "died_after": THEN,
    "died_before": THEN,
}  # fmt: skip
_PACE = {"rate_per_s": 1, "limit": 1, "reason": "r"}
_SETTINGS = {
    "concurrency_max": 1, "key_concurrency_max": 1, "rate_max": 1, "rate_s": 1, "key_rate_max": 1,
    "key_rate_s": 1, "fair": True, "weights": {"t": 1},
}  # fmt: skip
_SCHEDULE = {
    "cron": "* * * * *", "time_zone": "UTC", "backfill": "none", "overlap": "skip", "paused": True, "reason": "r",
    "starts_at": "2030-01-01T00:00:00Z", "ends_at": "2030-01-01T00:00:00Z",
    "task": {
        "kind": "k", "queue": "q", "input": 1, "priority": 1, "max_attempts": 1, "timeout_s": 1, "tags": ["t"],
        "key": "k",
    },
}  # fmt: skip
_FILTER = {"types": ["task.failed"], "kind": "k", "queue": "q", "actor": "a", "correlation_id": "c"}
_WEBHOOK = {"filter": _FILTER, "batch_max": 1, "start": "now", "secret": "s", "reason": "r"}

OPERATIONS: Mapping[str, Asked] = {
    "POST /tasks": asked("submit", "k", 1, run_at=THEN, **_TASK),
    "POST /tasks/batch": asked("submit_many", [{"kind": "k", "input": 1, "delay": 1, "ref": "r", **_TASK}]),
    "GET /tasks": asked("list", **_TASKS),
    "GET /tasks/{task_id}": asked("get", ID, as_of=THEN, as_of_version=1),
    "GET /tasks/{task_id}/status": asked("status", ID, as_of=THEN, as_of_version=1),
    "GET /tasks/{task_id}/events": asked("history", ID, after_version=1),
    "GET /tasks/{task_id}/explain": asked("explain", ID),
    "GET /tasks/{task_id}/timeline": asked("timeline", ID),
    "GET /tasks/{task_id}/diff": asked("diff", ID, THEN, THEN),
    "GET /tasks/{task_id}/stream": asked("stream", ID, after=1),
    "POST /tasks/{task_id}/cancel": asked("cancel", ID, reason="r"),
    "POST /tasks/{task_id}/retry": asked("retry", ID, reason="r"),
    "POST /tasks/{task_id}/erase": asked("erase", ID, reason="r"),
    "GET /events": asked("events", **_LOG),
    "GET /events/export": asked("export", format="csv", ciphertext=True, **_LOG),
    "GET /events/stream": asked("stream", **_STREAM),
    "GET /audit": asked("audit", **_AUDIT),
    "GET /ledger": asked("as_of", THEN),
    "GET /ledger/diff": asked("changed", THEN, THEN),
    "POST /tasks/retry": asked("bulk_acts.begin_tasks", "retry", **_CHOICE, **_PACE),
    "POST /tasks/cancel": asked("bulk_acts.begin_tasks", "cancel", **_CHOICE, **_PACE),
    "POST /dead-letters/redrive": asked("bulk_acts.begin_letters", "redrive", tags=["t"], **_LETTERS, **_PACE),
    "POST /dead-letters/discard": asked("bulk_acts.begin_letters", "discard", tags=["t"], **_LETTERS, **_PACE),
    "GET /bulk-acts": asked("bulk_acts.list", subject="tasks", state="running"),
    "GET /bulk-acts/{bulk_id}": asked("bulk_acts.get", ID),
    "POST /bulk-acts/{bulk_id}/cancel": asked("bulk_acts.cancel", ID),
    "GET /dead-letters": asked("dead_letters.list", tag="t", **_LETTERS),
    "GET /dead-letters/{letter_id}": asked("dead_letters.get", ID),
    "POST /dead-letters/{letter_id}/redrive": asked("dead_letters.redrive", ID, reason="r"),
    "POST /dead-letters/{letter_id}/discard": asked("dead_letters.discard", ID, reason="r"),
    "GET /queues": asked("queues.list"),
    "GET /queues/{name}": asked("queues.get", "q"),
    "PUT /queues/{name}": asked("queues.set", "q", _SETTINGS, reason="r"),
    "DELETE /queues/{name}/settings": asked("queues.reset", "q", reason="r"),
    "GET /queues/{name}/changes": asked("queues.changes", "q"),
    "POST /queues/{name}/pause": asked("queues.pause", "q", reason="r"),
    "POST /queues/{name}/resume": asked("queues.resume", "q", reason="r"),
    "POST /queues/{name}/drain": asked("queues.drain", "q", reason="r"),
    "GET /schedules": asked("schedules.list"),
    "GET /schedules/{name}": asked("schedules.get", "s"),
    "PUT /schedules/{name}": asked("schedules.put", "s", _SCHEDULE),
    "DELETE /schedules/{name}": asked("schedules.remove", "s", reason="r"),
    "GET /schedules/{name}/changes": asked("schedules.changes", "s"),
    "POST /schedules/{name}/fire": asked("schedules.fire", "s", reason="r"),
    "POST /schedules/{name}/pause": asked("schedules.pause", "s", reason="r"),
    "POST /schedules/{name}/resume": asked("schedules.resume", "s", reason="r"),
    "GET /workers": asked("workers.list", state="alive", queue="q", limit=1),
    "GET /workers/{worker_id}": asked("workers.get", ID),
    "GET /workers/{worker_id}/changes": asked("workers.changes", ID),
    "POST /workers/{worker_id}/drain": asked("workers.drain", ID, reason="r"),
    "POST /workers/{worker_id}/resume": asked("workers.resume", ID, reason="r"),
    "GET /webhooks": asked("webhooks.list"),
    "GET /webhooks/{name}": asked("webhooks.get", "w"),
    "PUT /webhooks/{name}": asked("webhooks.set", "w", "https://example.org", **_WEBHOOK),
    "DELETE /webhooks/{name}": asked("webhooks.remove", "w", reason="r"),
    "GET /webhooks/{name}/changes": asked("webhooks.changes", "w"),
    "GET /webhooks/{name}/deliveries": asked("webhooks.deliveries", "w", outcome="failed"),
    "POST /webhooks/{name}/deliveries/{delivery_id}/redeliver": asked("webhooks.redeliver", "w", 7),
    "POST /webhooks/{name}/pause": asked("webhooks.pause", "w", reason="r"),
    "POST /webhooks/{name}/resume": asked("webhooks.resume", "w", reason="r"),
    "POST /webhooks/{name}/rotate": asked("webhooks.rotate", "w", secret="s", overlap_s=1, reason="r"),  # noqa: S106 - no secret of anybody
    "POST /webhooks/{name}/skip": asked("webhooks.skip", "w", "e", reason="r"),
    "POST /webhooks/{name}/test": asked("webhooks.test", "w"),
    "GET /projections": asked("projections.list"),
    "GET /projections/{name}": asked("projections.get", "p"),
    "GET /projections/{name}/runs": asked("projections.runs", "p"),
    "GET /projections/runs": asked("projections.runs"),
    "GET /projections/runs/{run_id}": asked("projections.run", ID),
    "GET /projections/runs/{run_id}/stream": asked("projections.follow", ID),
    "POST /projections/{name}/rebuild": asked("projections.rebuild", "p", reason="r"),
    "POST /projections/{name}/verify": asked("projections.verify", "p", reason="r"),
    "POST /projections/{name}/reset": asked("projections.reset", "p", reason="r"),
    "POST /erasures": asked("erasures.begin", "t", reason="r"),
    "GET /erasures/{order_id}": asked("erasures.get", ID),
    "GET /failures": asked("failures.list", kind="k", queue="q", since=THEN),
    "GET /failures/{failure_id}": asked("failures.get", ID),
    "GET /stats": asked("failures.stats", queue="q", kind="k", since=THEN, until=THEN, step=60),
    "GET /seals": asked("seals.list", after=1),
    "GET /tasks/{task_id}/evidence": asked("seals.evidence", ID),
    "GET /archives": asked("seals.archives"),
    "GET /health": asked("server.health"),
    "GET /health/ready": asked("server.ready"),
    "GET /metrics": asked("server.metrics"),
    "GET /relay": asked("server.relay"),
}
