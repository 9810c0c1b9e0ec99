"""A stream of server-sent events across its connections: what was received, and from where to go on.

https://html.spec.whatwg.org/multipage/server-sent-events.html. Lines end where that standard says, not where
Python splits text: an event may have a U+2028 in it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from api.sdk.calls import Call, shaped
from api.sdk.errors import UnexpectedAnswerError
from api.sdk.retries import Retries, Trial

Item = TypeVar("Item")

SILENCE_SECONDS_MAX = 60.0
"""A server sends something at least every 15 s by default; a connection that is silent for longer is given up."""


# The last event of a stream whose key or session is over; whoever comes again is told so by the answer.
_CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Stream(Generic[Item]):
    """A stream that is wanted.

    Attributes:
        shape: what the data of its events are.
        last_type: the type of the event after which nothing comes; empty where it never ends.
    """

    call: Call[None]
    shape: type[Item]
    last_type: str = ""


class Following(Generic[Item]):
    """One stream; both clients feed it with bytes.

    Attributes:
        has_ended: its last event has come.
    """

    def __init__(self, stream: Stream[Item], retries: Retries) -> None:
        self.call = stream.call
        self.trial = Trial(self.call, retries)
        self.has_ended = False
        self._stream = stream
        self._lines = _Lines()
        self._id = ""
        self._last_id = ""
        self._type = ""
        self._data: list[str] = []

    def headers(self) -> dict[str, str]:
        """Return the headers of the next connection, and forget what the last one had begun to say."""
        self._lines = _Lines()
        self._data = []
        self._type = ""
        self._id = self._last_id
        resumed = {"Last-Event-ID": self._last_id} if self._last_id else {}
        return {"Accept": "text/event-stream", **resumed}

    def take(self, chunk: bytes) -> Iterator[Item]:
        """Return the events that are whole with these bytes."""
        self.trial.is_alive()
        for line in self._lines.take(chunk):
            if line:
                self._note(line)
                continue
            self._last_id = self._id
            name, self._type = self._type, ""
            text, self._data = "\n".join(self._data), []
            if text and name != _CLOSED:
                self.has_ended = self.has_ended or name == self._stream.last_type != ""
                yield self._shaped(text)
                if self.has_ended:
                    return

    def _note(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value

    def _shaped(self, text: str) -> Item:
        try:
            return shaped(self._stream.shape, json.loads(text))
        except ValueError as error:
            raise UnexpectedAnswerError(f"an event of a stream must be JSON: {error}") from error


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
