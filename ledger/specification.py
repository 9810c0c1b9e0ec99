"""What a client asks for when it submits a task, with the bounds of every field."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pydantic import JsonValue

from ledger.errors import InvalidValueError
from ledger.task_words import ParentPolicy

DEFAULT_KIND = "default"
DEFAULT_QUEUE = "default"
DEFAULT_PRIORITY = 5
PRIORITY_MAX = 9
KIND_PATTERN = r"^[A-Za-z0-9_.:/-]{1,200}$"
QUEUE_PATTERN = r"^[a-z0-9_-]{1,64}$"
TAG_CHARS_MAX = 100
TAGS_MAX = 20
KEY_CHARS_MAX = 200
AFTER_MAX = 100
ATTEMPTS_MAX = 1000
TIMEOUT_SECONDS_MAX = 604_800.0
DELAY_SECONDS_MAX = 366 * 86_400.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a failed task waits: full jitter over `base_seconds * 2 ** failures`, at most `cap_seconds`."""

    base_seconds: float = 1.0
    cap_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class TaskSpecification:
    """A task before it has an identity.

    Attributes:
        kind: which handler runs it.
        queue: which workers receive it.
        input: any JSON value, handed to the handler.
        priority: 0 (last) to 9 (first).
        run_at: not before this moment (database clock); None means now.
        max_attempts: how many attempts may fail before the task is FAILED.
        timeout_seconds: how long one attempt may run.
        backoff: how long to wait after a failed attempt.
        tags: labels to search by, for example `tenant:acme`.
        parent: the task that asked for this one.
        key: what limits by key count it under, for example an account.
        unique_key: no two unfinished tasks of a kind have the same.
        after: the tasks that have to complete before it is ready.
        on_parent_failure: what becomes of it when one of those does not complete.
        erasable: what it is given and comes up with is encrypted, and can be erased when it is finished.
    """

    kind: str = DEFAULT_KIND
    queue: str = DEFAULT_QUEUE
    input: JsonValue = None
    priority: int = DEFAULT_PRIORITY
    run_at: datetime | None = None
    max_attempts: int = 3
    timeout_seconds: float = 300.0
    backoff: Backoff = field(default_factory=Backoff)
    tags: tuple[str, ...] = ()
    parent: UUID | None = None
    key: str | None = None
    unique_key: str | None = None
    after: tuple[UUID, ...] = ()
    on_parent_failure: ParentPolicy = ParentPolicy.CANCEL
    erasable: bool = False


_KIND = re.compile(KIND_PATTERN)
_QUEUE = re.compile(QUEUE_PATTERN)


def check_specification(specification: TaskSpecification) -> None:
    """Raise InvalidValueError for the first field out of its bound; `input` is checked where it is encoded."""
    if not _KIND.fullmatch(specification.kind):
        raise InvalidValueError(
            field="kind", bound="1 to 200 characters of A-Z a-z 0-9 _ . : / -", value=specification.kind
        )
    check_queue_name(specification.queue)
    check_range("priority", specification.priority, 0, PRIORITY_MAX)
    check_range("max_attempts", specification.max_attempts, 1, ATTEMPTS_MAX)
    check_range("timeout_s", specification.timeout_seconds, 0.1, TIMEOUT_SECONDS_MAX)
    if specification.run_at is not None and specification.run_at.tzinfo is None:
        raise InvalidValueError(field="run_at", bound="a time with an offset", value=specification.run_at)
    _check_tags(specification.tags)
    _check_key("key", specification.key)
    _check_key("unique_key", specification.unique_key)
    _check_after(specification.after)


def check_queue_name(queue: str) -> None:
    """Raise InvalidValueError for a name that no queue can have, and that could not stand in a routing key."""
    if not _QUEUE.fullmatch(queue):
        raise InvalidValueError(field="queue", bound="1 to 64 characters of a-z 0-9 _ -", value=queue)


def check_range(name: str, value: float | None, low: float, high: float) -> None:
    """Raise InvalidValueError for a value outside of its bounds; None is not given, so it has none."""
    if value is not None and not low <= value <= high:
        raise InvalidValueError(field=name, bound=f"between {low} and {high}", value=value)


def _check_tags(tags: tuple[str, ...]) -> None:
    if len(tags) > TAGS_MAX:
        raise InvalidValueError(field="tags", bound=f"at most {TAGS_MAX}", value=len(tags))
    for tag in tags:
        if not 1 <= len(tag) <= TAG_CHARS_MAX or "\0" in tag:
            raise InvalidValueError(
                field="tags", bound=f"1 to {TAG_CHARS_MAX} characters each, none of them NUL", value=tag
            )


def _check_key(name: str, key: str | None) -> None:
    if key is not None and (not 1 <= len(key) <= KEY_CHARS_MAX or "\0" in key):
        raise InvalidValueError(field=name, bound=f"1 to {KEY_CHARS_MAX} characters, none of them NUL", value=key)


def _check_after(parents: tuple[UUID, ...]) -> None:
    if len(parents) > AFTER_MAX:
        raise InvalidValueError(field="after", bound=f"at most {AFTER_MAX} tasks", value=len(parents))
    if len(set(parents)) < len(parents):
        raise InvalidValueError(field="after", bound="different tasks", value=[str(parent) for parent in parents])
