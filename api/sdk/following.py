"""A stream of server-sent events across its connections: what was received, and from where to go on.

https://html.spec.whatwg.org/multipage/server-sent-events.html. Lines end where that standard says, not where
Python splits text: an event may have a U+2028 in it.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from api.sdk.answers import Event
from api.sdk.calls import Call, nothing, path_of, shaped
from api.sdk.errors import UnexpectedAnswerError
from api.sdk.options import query_of
from api.sdk.retries import Retries, Trial

SILENCE_SECONDS_MAX = 60.0
"""A server sends something at least every 15 s by default; a connection that is silent for longer is given up."""


class Following:
    """One stream; both clients feed it with bytes."""

    def __init__(self, task_id: UUID | str | None, wanted: Mapping[str, Any], retries: Retries) -> None:
        path = "/events/stream" if task_id is None else path_of("tasks", task_id, "stream")
        self.call = Call(method="GET", path=path, query=query_of(wanted), read=nothing)
        self.trial = Trial(self.call, retries)
        self._lines = _Lines()
        self._id = ""
        self._last_id = ""
        self._data: list[str] = []

    def headers(self) -> dict[str, str]:
        """Return the headers of the next connection, and forget what the last one had begun to say."""
        self._lines = _Lines()
        self._data = []
        self._id = self._last_id
        resumed = {"Last-Event-ID": self._last_id} if self._last_id else {}
        return {"Accept": "text/event-stream", **resumed}

    def take(self, chunk: bytes) -> Iterator[Event]:
        """Return the events that are whole with these bytes."""
        self.trial.is_alive()
        for line in self._lines.take(chunk):
            if line:
                self._note(line)
                continue
            self._last_id = self._id
            if self._data:
                text, self._data = "\n".join(self._data), []
                yield _event(text)

    def _note(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value


class _Lines:
    """Bytes in, whole lines out; a line ends with a line feed, a carriage return, or both."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._ended_with_return = False

    def take(self, chunk: bytes) -> Iterator[str]:
        if self._ended_with_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        if chunk:
            self._ended_with_return = chunk.endswith(b"\r")
        *whole, rest = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for part in whole:
            line = bytes(self._rest) + part
            self._rest.clear()
            yield line.decode("utf-8", "replace")
        self._rest += rest


def _event(text: str) -> Event:
    try:
        return shaped(Event, json.loads(text))
    except ValueError as error:
        raise UnexpectedAnswerError(f"an event of a stream must be JSON: {error}") from error
