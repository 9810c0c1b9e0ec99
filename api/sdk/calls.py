"""A call: one request and how its answer is read, for both clients; nothing here does I/O."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from time import time
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from api.sdk.errors import Refusal, UnexpectedAnswerError
from api.sdk.options import query_of, to_json
from api.sdk.reading import ShapeError, read_as

Answered = TypeVar("Answered")
Item = TypeVar("Item")

Cursor = str | int | None

JSON = {"Content-Type": "application/json"}
POSITION_HEADER = "ledger-position"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; the names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """Return the body; raises UnexpectedAnswerError where it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise UnexpectedAnswerError(f"an answer {self.status} must be JSON: {error}") from error

    @property
    def position(self) -> int:
        """The Ledger-Position that it tells of; 0 without one."""
        text = self.headers.get(POSITION_HEADER, "")
        return int(text) if text.isascii() and text.isdigit() else 0

    def refusal(self) -> Refusal:
        """Return the problem document in it, as far as it is one."""
        try:
            document = json.loads(self.body)
        except ValueError:
            document = None
        if not isinstance(document, Mapping):
            return Refusal(self.status, retry_after_seconds=self._retry_after_seconds())
        standard = ("type", "title", "status", "detail", "error")
        return Refusal(
            status=self.status,
            problem=str(document.get("type", "")).rpartition(":")[2],
            title=str(document.get("title", "")),
            detail=str(document.get("detail") or document.get("error") or ""),
            members={name: value for name, value in document.items() if name not in standard},
            retry_after_seconds=self._retry_after_seconds(),
        )

    def _retry_after_seconds(self) -> float | None:
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time())
        except (ValueError, OverflowError):
            return None


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list; `next` asks for the part after it, and is None on the last one."""

    items: tuple[Item, ...]
    next: Cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Answered]):
    """One request.

    Attributes:
        read: what its answer means.
        is_repeatable: whether sending it twice does what sending it once does.
        is_fresh: a read that can wait for what the client has written.
        wait_seconds: how much longer than usual the answer may take.
    """

    method: str
    path: str
    read: Callable[[Answer], Answered]
    query: Sequence[tuple[str, str]] = ()
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = True
    is_fresh: bool = False
    wait_seconds: float = 0.0


def look(
    read: Callable[[Answer], Answered],
    *parts: object,
    query: Mapping[str, Any] | None = None,
    is_fresh: bool = False,
) -> Call[Answered]:
    """Return a GET of the path of these parts."""
    return Call(method="GET", path=path_of(*parts), query=query_of(query or {}), is_fresh=is_fresh, read=read)


def act(
    read: Callable[[Answer], Answered],
    *parts: object,
    body: Mapping[str, Any] | None = None,
    method: str = "POST",
    is_repeatable: bool = False,
) -> Call[Answered]:
    """Return a command to the path of these parts; unless it changes nothing the second time, it is sent once."""
    return Call(
        method=method,
        path=path_of(*parts),
        body=None if body is None else to_json(body),
        headers={} if body is None else JSON,
        is_repeatable=is_repeatable,
        read=read,
    )


def removal(*parts: object, reason: str) -> Call[None]:
    """Return a DELETE, which is sent once: the second one would find nothing."""
    path = path_of(*parts)
    return Call(method="DELETE", path=path, query=query_of({"reason": reason}), is_repeatable=False, read=nothing)


def path_of(*parts: object) -> str:
    """Return a path of these parts, each of them quoted."""
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)


def reader(shape: type[Answered]) -> Callable[[Answer], Answered]:
    """Return what reads an answer as a dataclass."""
    return partial(_read, shape)


def page_reader(shape: type[Item], items: str, following: str) -> Callable[[Answer], Page[Item]]:
    """Return what reads an answer as a page: the names of its items, and of what asks for the next page."""

    def read(answer: Answer) -> Page[Item]:
        document = answer.json()
        if not isinstance(document, Mapping) or not isinstance(document.get(items), list):
            raise UnexpectedAnswerError(f"an answer {answer.status} must have a list {items}")
        return Page(tuple(shaped(shape, one) for one in document[items]), document.get(following))

    return read


def shaped(shape: type[Answered], value: object) -> Answered:
    """Return a JSON value as a dataclass; raises UnexpectedAnswerError where it is none."""
    try:
        return read_as(shape, value)
    except ShapeError as error:
        raise UnexpectedAnswerError(f"an answer is not understood: {error}") from error


def nothing(_answer: Answer) -> None:
    """Read an answer that says nothing but that it was done."""


def items_reader(shape: type[Item], items: str) -> Callable[[Answer], tuple[Item, ...]]:
    """Return what reads an answer as a list that has no pages."""
    page = page_reader(shape, items, "")
    return lambda answer: page(answer).items


def _read(shape: type[Answered], answer: Answer) -> Answered:
    return shaped(shape, answer.json())
