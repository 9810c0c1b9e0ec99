"""A client of server-sent events that takes the bytes apart by the book, as a browser would."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class Received:
    """An event as it is dispatched."""

    id: int
    type: str
    data: Mapping[str, JsonValue]


class EventSource:
    """One connection; `last_id` is what a browser would come again with."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.last_id = ""
        self.comments: list[str] = []
        self._lines = response.aiter_lines()

    async def next(self) -> Received | None:
        """Return the next event; None when the stream has ended."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            name, _, value = line.partition(":")
            if line and not name:
                self.comments.append(value.strip())
            elif line:
                fields[name] = value.removeprefix(" ")
            else:
                self.last_id = fields.get("id", self.last_id)
                if "data" in fields:
                    return Received(int(self.last_id), fields["event"], json.loads(fields["data"]))
                fields = {}
        return None

    async def take(self, count: int) -> list[Received]:
        """Return the next events, so many of them."""
        events = [await self.next() for _ in range(count)]
        assert all(events), "the stream has ended"
        return [event for event in events if event]

    async def until_id(self) -> None:
        """Return when the stream has told from where it reads on, without an event."""
        async for line in self._lines:
            if line.startswith(":"):
                self.comments.append(line[1:].strip())
            if line.startswith("id: "):
                self.last_id = line.removeprefix("id: ")
                return


@asynccontextmanager
async def event_source(
    client: httpx.AsyncClient, path: str, *, last_id: object = None
) -> AsyncIterator[EventSource]:
    """Open a stream."""
    headers = {} if last_id is None else {"Last-Event-ID": str(last_id)}
    async with client.stream("GET", path, headers=headers, timeout=20) as response:
        if response.status_code != httpx.codes.OK:
            await response.aread()
        yield EventSource(response)
