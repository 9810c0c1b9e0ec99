"""Erasures: what all erasable tasks with a tag hold is destroyed, by their keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from api.sdk.calls import Answer, Call, act, look, reader
from api.sdk.errors import UnexpectedAnswerError
from api.sdk.operations import Asked, Blocking, Looping, Scripted
from api.sdk.scripts import Script, until


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """An erasure by tag, and how far it has come.

    Attributes:
        state: running or done.
        found: how many tasks with the tag had a key when it was ordered.
        unfinished: how many were left alone because they were not finished: order it again when they are.
    """

    erasure_id: UUID
    tag: str
    state: str
    found: int
    erased: int
    unfinished: int
    actor: str = ""
    reason: str = ""
    ordered_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is done."""
        return self.state != "running"


class ErasureOperations:
    """What erasable tasks hold, erased by tag; one task by itself is the matter of `erase`."""

    @Asked
    def count(self, tag: str) -> Call[int]:
        """Say how many tasks with a tag an erasure would find; nothing is done."""
        return act(_count, "erasures", body={"tag": tag, "dry_run": True}, is_repeatable=True)

    @Asked
    def begin(self, tag: str, *, reason: str = "") -> Call[Erasure]:
        """Erase for good what all finished erasable tasks with a tag hold, of those that were submitted until now.

        Doing it twice erases nothing more, so it is sent again where no answer came.
        """
        body = {"tag": tag, "reason": reason, "dry_run": False}
        return act(_ERASURE, "erasures", body=body, is_repeatable=True)

    @Asked
    def get(self, erasure_id: UUID | str) -> Call[Erasure]:
        """Return how far an erasure has come; raises NotFoundError."""
        return _shown(erasure_id)

    @Scripted
    def wait(self, erasure_id: UUID | str, timeout: float | None = None) -> Script[Erasure]:
        """Wait until an erasure has ended, and return it; raises StillAtWorkError after `timeout` seconds."""
        what = f"erasure {erasure_id}"
        return until(_shown(erasure_id), lambda seen: seen.has_ended, what=what, timeout=timeout)


class Erasures(ErasureOperations, Blocking):
    """The erasures by tag; as `TaskLedger.erasures`."""


class AsyncErasures(ErasureOperations, Looping):
    """The erasures by tag; as `AsyncTaskLedger.erasures`."""


_ERASURE = reader(Erasure)


def _shown(erasure_id: UUID | str) -> Call[Erasure]:
    return look(_ERASURE, "erasures", erasure_id)


def _count(answer: Answer) -> int:
    document = answer.json()
    if not isinstance(document, Mapping) or not isinstance(document.get("count"), int):
        raise UnexpectedAnswerError(f"an answer {answer.status} must have a number count")
    return int(document["count"])
