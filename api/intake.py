"""The intake: makes the specification of a task of what a client submitted, with the defaults of the settings."""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from api.schemas import Submission
from ledger.bootstrap import Ledger
from ledger.errors import InvalidValueError
from ledger.jsonvalue import DEPTH_MAX, check_json
from ledger.specification import (
    DEFAULT_KIND,
    DEFAULT_PRIORITY,
    DEFAULT_QUEUE,
    Backoff,
    TaskSpecification,
)
from ledger.task_words import ParentPolicy

Given = TypeVar("Given")

_TASK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


class Intake:
    """Makes specifications of submissions."""

    def __init__(self, ledger: Ledger) -> None:
        self._settings = ledger.settings
        self._clock = ledger.clock
        self._backoff = Backoff(ledger.settings.retry_base_seconds, ledger.settings.retry_cap_seconds)

    def specification(
        self, given: Submission, body: bytes, *, after: tuple[UUID, ...] | None = None
    ) -> TaskSpecification:
        """Return the specification of a submission, whose text is `body`; `after` stands for what it says itself.

        Raises:
            InvalidValueError: its input nests deeper than the settings allow, or it waits for what is no task id.
        """
        self._check_depth(given, body)
        run_at = given.run_at
        if given.delay_s is not None:
            run_at = self._clock.now() + timedelta(seconds=given.delay_s)
        return TaskSpecification(
            kind=_or(given.kind, DEFAULT_KIND),
            queue=_or(given.queue, DEFAULT_QUEUE),
            input=given.input,
            priority=_or(given.priority, DEFAULT_PRIORITY),
            run_at=run_at,
            max_attempts=_or(given.max_attempts, self._settings.default_max_attempts),
            timeout_seconds=_or(given.timeout_s, self._settings.default_timeout_seconds),
            backoff=self._backoff,
            tags=tuple(given.tags or ()),
            key=given.key,
            erasable=bool(given.erasable),
            unique_key=given.unique_key,
            after=_task_ids(given.after or ()) if after is None else after,
            on_parent_failure=_or(given.on_parent_failure, ParentPolicy.CANCEL),
        )

    def _check_depth(self, given: Submission, body: bytes) -> None:
        # The ledger has a bound of its own; a body with fewer brackets than the bound cannot nest deeper.
        depth_max = self._settings.json_depth_max
        if depth_max < DEPTH_MAX and body.count(b"[") + body.count(b"{") > depth_max:
            check_json(given.input, field="input", depth_max=depth_max)


def task_id_in(text: str) -> UUID | None:
    """Return the task id that the text is, in its usual form; None where it is none."""
    return UUID(text) if _TASK_ID.fullmatch(text) else None


def _task_ids(texts: Iterable[str]) -> tuple[UUID, ...]:
    return tuple(_task_id(text) for text in texts)


def _task_id(text: str) -> UUID:
    task_id = task_id_in(text)
    if task_id is None:
        raise InvalidValueError(field="after", bound="task ids", value=text)
    return task_id


def _or(given: Given | None, default: Given) -> Given:
    return default if given is None else given
