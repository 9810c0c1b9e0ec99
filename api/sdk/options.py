"""What the calls take by keyword, typed, and how it is written into a request."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypedDict
from uuid import UUID

from api.sdk.errors import ClientSettingError


class TaskOptions(TypedDict, total=False):
    """How a task is to run; what is absent is as the server has it by default.

    Attributes:
        queue: which workers get it.
        priority: 0 (last) to 9 (first).
        run_at: not before this moment, which needs an offset.
        delay: not before so many seconds, or this timedelta, from now.
        max_attempts: how many attempts may fail before the task is FAILED.
        timeout_s: how many seconds one attempt may run.
        tags: labels to search by.
        key: what the limits by key of its queue count it under.
        unique_key: while an unfinished task of the same kind has it, that one is the receipt.
        after: the tasks that have to complete before it is ready.
        on_parent_failure: what becomes of it when one of those does not.
        erasable: what it is given and comes up with is encrypted, and can be erased when it is finished.
    """

    queue: str
    priority: int
    run_at: datetime
    delay: float | timedelta
    max_attempts: int
    timeout_s: float
    tags: Sequence[str]
    key: str
    unique_key: str
    after: Sequence[UUID | str]
    on_parent_failure: Literal["cancel", "fail"]
    erasable: bool


class SubmitOptions(TaskOptions, total=False):
    """How a task is to run, and how its submission is kept from doubling.

    Attributes:
        idempotency_key: the caller's own name for this submission, so that even another process can repeat it; a
            fresh UUID when absent.
        idempotent: False sends no key: faster on the server, but a submission whose answer was lost is an error,
            and not repeated.
    """

    idempotency_key: str
    idempotent: bool


class NewTask(TaskOptions, total=False):
    """A task among many; `ref` is what `after` of others may say for it. A `unique_key` is not taken here."""

    kind: str
    input: Any
    ref: str


class TaskFilter(TypedDict, total=False):
    """Which tasks to list: any of the statuses, all of the tags, as they were at the moment `as_of`."""

    status: str | Sequence[str]
    kind: str
    queue: str
    tag: str | Sequence[str]
    created_after: datetime
    created_before: datetime
    as_of: datetime


class TaskChoice(TypedDict, total=False):
    """Which tasks a bulk act is about.

    Attributes:
        status: any of these; when absent those that are usual for the act.
        tags: tasks that have every one of them.
        error_type: of the last error.
    """

    status: Sequence[str]
    kind: str
    queue: str
    tags: Sequence[str]
    error_type: str
    created_after: datetime
    created_before: datetime


class EventFilter(TypedDict, total=False):
    """Which events are wanted; `after` is a position."""

    types: str | Sequence[str]
    kind: str
    queue: str
    after: int


class LogFilter(EventFilter, total=False):
    """Which part of the log is wanted."""

    actor: str
    correlation_id: str
    since: datetime
    until: datetime


class AuditFilter(TypedDict, total=False):
    """Which entries of the audit are wanted.

    Attributes:
        source: `events` when absent; or `queue_changes`, `schedule_changes`, `dead_letter_acts`,
            `webhook_changes`, `worker_changes`, `key_changes`, `projection_runs`, `erasure_orders`,
            `archive_acts`.
        order: which come first.
        reason: stands somewhere in the reason.
    """

    source: str
    order: Literal["newest", "oldest"]
    types: str | Sequence[str]
    actor: str
    kind: str
    queue: str
    task_id: UUID | str
    correlation_id: str
    reason: str
    since: datetime
    until: datetime


class _Letters(TypedDict, total=False):
    kind: Literal["task", "message"]
    task_kind: str
    queue: str
    error_type: str
    cause: str
    died_after: datetime
    died_before: datetime


class LetterFilter(_Letters, total=False):
    """Which dead letters to list."""

    tag: str | Sequence[str]


class LetterChoice(_Letters, total=False):
    """Which dead letters a bulk act is about; `tags`: those of tasks that have every one of them."""

    tags: Sequence[str]


def task_body(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task as the server takes it; raises ClientSettingError for a time without an offset."""
    body = {name: _json(name, value) for name, value in task.items() if value is not None or name == "input"}
    if "delay" in body:
        delay = body.pop("delay")
        body["delay_s"] = delay.total_seconds() if isinstance(delay, timedelta) else delay
    return body


def choice_body(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Return a filter as the server takes it in a body."""
    return {name: _json(name, value) for name, value in choice.items() if value is not None}


def to_json(body: object) -> bytes:
    """Return a body as compact JSON; raises ClientSettingError for what JSON cannot say."""
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ClientSettingError(f"the input must be a JSON value: {error}") from error


def query_of(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return options as the parameters of a URL; a sequence repeats its name."""
    pairs: list[tuple[str, str]] = []
    for name, value in options.items():
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
        pairs += [(name, _text(_json(name, one))) for one in values if one is not None]
    return pairs


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _json(name: str, value: Any) -> Any:  # noqa: ANN401 - any JSON value, and what stands for one
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ClientSettingError(f"{name} must be a time with an offset, got {value!r}")
        return value.astimezone(UTC).isoformat()
    if name == "after" and isinstance(value, Sequence) and not isinstance(value, str):
        return [str(one) for one in value]
    return list(value) if name == "tags" else value
