"""A load generator: raw keep-alive connections that each send the next request as soon as the last is answered.

    python -m tests.bench.load http://127.0.0.1:8080/tasks --body '{"input":"hello"}' --requests 40000
    python -m tests.bench.load http://127.0.0.1:8080/tasks/@/status --each ids.txt

It prints one JSON object. `--header 'Idempotency-Key: {n}'` sends a header, with a number of its own in each
request where it says `{n}`. Run it as a process of its own, or it measures itself together with the server.
"""

import argparse
import asyncio
import json
import secrets
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Self, cast
from urllib.parse import urlsplit

import uvloop

_HEADERS_END = b"\r\n\r\n"
_CONTENT_LENGTH = b"content-length: "
_NUMBER = b"{n}"


@dataclass(frozen=True, slots=True)
class Load:
    """What to send, how often, and over how many connections at once.

    Attributes:
        url: where to; an @ in it stands for one of `each` after the other.
        body: what to POST; None for a GET.
    """

    url: str
    body: bytes | None = None
    connections: int = 64
    requests: int = 20_000
    each: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()

    def all_requests(self) -> list[bytes]:
        """Return the bytes of the requests that are sent in turn."""
        if not self.each:
            return [self.request()]
        return [replace(self, url=self.url.replace("@", word), each=()).request() for word in self.each]

    def request(self) -> bytes:
        """Return the bytes of one request."""
        place = urlsplit(self.url)
        path = (place.path or "/") + (f"?{place.query}" if place.query else "")
        head = f"{'GET' if self.body is None else 'POST'} {path} HTTP/1.1\r\nhost: {place.netloc}\r\n"
        head += "".join(f"{header}\r\n" for header in self.headers)
        if self.body is None:
            return f"{head}\r\n".encode()
        return (
            f"{head}content-type: application/json\r\ncontent-length: {len(self.body)}\r\n\r\n".encode()
            + self.body
        )


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What came back: the rate, the latencies in milliseconds, and how often each status was answered."""

    requests_per_second: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    statuses: dict[str, int]

    @classmethod
    def of(cls, latencies_seconds: Sequence[float], *, elapsed_seconds: float, statuses: Counter[str]) -> Self:
        """Summarise the latencies of a whole run."""
        ordered = sorted(latencies_seconds)

        def percentile(fraction: float) -> float:
            return round(ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] * 1000, 3)

        return cls(
            requests_per_second=round(len(ordered) / elapsed_seconds, 1),
            p50_ms=percentile(0.5),
            p90_ms=percentile(0.9),
            p99_ms=percentile(0.99),
            max_ms=percentile(1.0),
            statuses=dict(statuses),
        )


async def run_load(load: Load) -> LoadReport:
    """Send the load and report on it.

    Raises:
        OSError: the server refuses a connection, or ends one before everything is answered.
    """
    place = urlsplit(load.url)
    run = _Run(load)
    loop = asyncio.get_running_loop()
    connected = [
        await loop.create_connection(lambda: _Connection(run), place.hostname or "127.0.0.1", place.port or 80)
        for _ in range(load.connections)
    ]
    started_at = time.perf_counter()
    for _, connection in connected:
        connection.send()
    await run.finished
    elapsed_seconds = time.perf_counter() - started_at
    for transport, _ in connected:
        transport.close()
    return LoadReport.of(run.latencies, elapsed_seconds=elapsed_seconds, statuses=run.statuses)


class _Run:
    """What the connections of one run share."""

    def __init__(self, load: Load) -> None:
        self._requests = cycle(load.all_requests())
        self._is_numbered = any(_NUMBER.decode() in header for header in load.headers)
        self._name = secrets.token_hex(8).encode()  # no other run sends the same numbers
        self.unsent = load.requests
        self.unanswered = load.requests
        self.latencies: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def next_request(self) -> bytes:
        self.unsent -= 1
        request = next(self._requests)
        if not self._is_numbered:
            return request
        return request.replace(_NUMBER, b"%b-%d" % (self._name, self.unsent), 1)

    def answered(self, status: bytes, seconds: float) -> None:
        self.statuses[status.decode("ascii", "replace")] += 1
        self.latencies.append(seconds)
        self.unanswered -= 1
        if self.unanswered == 0:
            self.finished.set_result(None)

    def broken(self) -> None:
        if not self.finished.done():
            self.finished.set_exception(OSError("the server ended a connection before everything was answered"))


class _Connection(asyncio.Protocol):
    """One connection with at most one request in flight; understands answers with a content-length only."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._received = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A TCP transport can be written to, but uvloop's is no WriteTransport by type.
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio hands it over
        self._run.broken()

    def send(self) -> None:
        if self._run.unsent == 0:
            return
        request = self._run.next_request()
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(_HEADERS_END)
        if head_end < 0 or len(self._received) < head_end + len(_HEADERS_END) + self._body_bytes(head_end):
            return
        status = self._received[9:12]
        self._received = b""
        self._run.answered(status, time.perf_counter() - self._sent_at)
        self.send()

    def _body_bytes(self, head_end: int) -> int:
        head = self._received[:head_end].lower()
        at = head.find(_CONTENT_LENGTH)
        if at < 0:
            return 0
        return int(head[at + len(_CONTENT_LENGTH) :].partition(b"\r\n")[0])


def _arguments() -> Load:
    parser = argparse.ArgumentParser(description="Send the same request over many connections.")
    parser.add_argument("url")
    parser.add_argument("--body", help="send it by POST; without it, GET")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--each", type=Path, help="a file of words, a line each, for the @ in the URL")
    parser.add_argument("--header", action="append", default=[], help="for example 'Authorization: Bearer …'")
    given = parser.parse_args()
    return Load(
        given.url,
        body=None if given.body is None else given.body.encode(),
        connections=given.connections,
        requests=given.requests,
        headers=tuple(given.header),
        each=tuple(given.each.read_text().split()) if given.each else (),
    )


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(run_load(_arguments()))
    sys.stdout.write(json.dumps(asdict(report)) + "\n")
