"""What a read may ask beyond its path: how new the answer has to be, what is known already, how long to wait."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from starlette.datastructures import Headers

from api.errors import InvalidRequestError, Part
from api.schemas import POSITION_MAX
from ledger.errors import InvalidValueError

MIN_POSITION_HEADER = "Ledger-Min-Position"
APPLIED_HEADER = "Preference-Applied"

_DIGITS_MAX = 19
_POSITION = re.compile(rf"[0-9]{{1,{_DIGITS_MAX}}}", re.ASCII)
_SECONDS = re.compile(r'"?([0-9]{1,9})"?', re.ASCII)
_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_VERSION = re.compile(r"-([0-9]{1,9})(?:-[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The conditions of one read.

    Attributes:
        position_min: what the client has written itself, or heard of: the answer is at least as new.
        tags: what If-None-Match says; None without it.
        since_version: the version of the task that the client knows.
        wait_seconds: what `Prefer: wait` asks for; None without it.
    """

    position_min: int = 0
    tags: Sequence[str] | None = None
    since_version: int | None = None
    wait_seconds: int | None = None

    @classmethod
    def of(cls, headers: Headers, *, since_version: int | None = None) -> "Conditions":
        """Return what the headers of a request ask for.

        Raises:
            InvalidRequestError: Ledger-Min-Position is no position.
        """
        return cls(
            position_min=position_in(headers.get(MIN_POSITION_HEADER, "0"), field=MIN_POSITION_HEADER),
            tags=_tags(headers.getlist("if-none-match")),
            since_version=since_version,
            wait_seconds=_wait_seconds(headers.getlist("prefer")),
        )

    def is_known(self, tag: str) -> bool:
        """Whether the client has what the tag stands for (RFC 9110, 13.1.2: compared weakly)."""
        return self.tags is not None and (tag in self.tags or "*" in self.tags)

    def known_version(self, task_id: UUID) -> int | None:
        """Return the newest version of the task that the client says it knows; None where it says nothing."""
        versions = [] if self.since_version is None else [self.since_version]
        for tag in self.tags or ():
            matched = _VERSION.fullmatch(tag.removeprefix(str(task_id)))
            if matched and tag.startswith(str(task_id)):
                versions.append(int(matched[1]))
        return max(versions, default=None)


def tag_of(task_id: UUID, version: int, late_writes: int = 0) -> str:
    """Return the entity tag of a task, without its quotes; a refused late write adds no version of its own."""
    return f"{task_id}-{version}-{late_writes}" if late_writes else f"{task_id}-{version}"


def position_in(text: str, *, field: str, part: Part = Part.HEADER) -> int:
    """Return the position that the text says.

    Raises:
        InvalidRequestError: it says none.
    """
    if not _POSITION.fullmatch(text) or int(text) > POSITION_MAX:
        refusal = InvalidValueError(field=field, bound=f"a position from 0 to {POSITION_MAX}", value=text)
        raise InvalidRequestError(part, str(refusal))
    return int(text)


def header_parameters(*names: str) -> dict[str, Any]:
    """Return what the OpenAPI document says of these headers, as a route's `openapi_extra`."""
    return {
        "parameters": [
            {"name": name, "in": "header", "required": False, "description": text, "schema": schema}
            for name, schema, text in _DOCUMENTED
            if name in names
        ]
    }


_A_POSITION = {"type": "integer", "minimum": 0, "maximum": POSITION_MAX}
_A_TEXT = {"type": "string"}
_DOCUMENTED = (
    (
        MIN_POSITION_HEADER,
        _A_POSITION,
        "The `Ledger-Position` of a write: the answer has that write in it, or is a problem after a while.",
    ),
    ("If-None-Match", _A_TEXT, "Entity tags that the client has; 304 when one of them still holds."),
    (
        "Prefer",
        _A_TEXT,
        "`wait=SECONDS`: answer when there is something that the client does not know, or the time is over.",
    ),
    (
        "Last-Event-ID",
        {"anyOf": [_A_POSITION, {"type": "string", "maxLength": 0}]},
        "Where the stream goes on: the position of the last event that came; none has come where it is empty.",
    ),
)


def _tags(values: Sequence[str]) -> Sequence[str] | None:
    if not values:
        return None
    text = ", ".join(values)
    return ["*"] if text.strip() == "*" else _TAG.findall(text)


def _wait_seconds(values: Sequence[str]) -> int | None:
    # RFC 7240: the first of its name counts, and what is not understood is ignored.
    for preference in ",".join(values).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            matched = _SECONDS.fullmatch(value.strip())
            return int(matched[1]) if matched else None
    return None
