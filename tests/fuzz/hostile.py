"""Hostile requests, by hand: bytes that are no text, text that is no JSON, times at the ends of the calendar."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from tests.fuzz.inhabitants import Inhabitants

Document = Mapping[str, Any]

_BODIES = (
    b"", b"{", b"null", b"[]", b'"x"', b"\x00", b"\xff\xfe", b"[" * 5000, b'{"input": NaN}', b"\xef\xbb\xbf{}",
    b'{"input": 1e400}', b'{"input": %b}' % (b"9" * 5000), b'{"input": 1, "input": 2}',
    *(b'{"%b": "\\u0000"}' % name for name in (b"input", b"reason", b"tag", b"cron", b"url", b"key", b"secret")),
    *(b'{"%b": "\\ud800"}' % name for name in (b"input", b"reason", b"tag", b"cron", b"url", b"key", b"secret")),
    b'{"input": 1, "run_at": "9999-12-31T23:59:59-14:00"}', b'{"input": 1, "delay_s": 1e308}',
    b'{"input": 1, "after": ["\\u0000"]}', b'{"input": 1, "tags": ["\\u0000"]}', b'[{"input": 1},]',
    b'[{"input": 1, "ref": "a", "after": ["a"]}]', b'{"input": 1}\n\n{"input":',
    *(
        b'{"cron": "* * * * *", "%b": "%b"}' % (name, value)
        for name in (b"starts_at", b"ends_at")
        for value in (b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59.999999Z")
    ),
    b'{"cron": "* * * * *", "time_zone": "../../etc/passwd"}', b'{"cron": "0 0 30 2 *"}',
    b'{"url": "http://[::1"}', b'{"url": "http://a:99999999/"}', b'{"url": "https://xn--/"}',
    b'{"url": "https://example.org/", "start": 9223372036854775808}', b'{"overlap_s": 1e308}',
    b'{"event_id": "\\u0000", "reason": "x"}', b'{"weights": {"\\u0000": 1}}', b'{"weights": {"a": 1e308}}',
    b'{"rate_max": 9223372036854775808, "rate_s": 1}', b'{"filter": {"error_type": "\\u0000"}}',
    b'{"filter": {"created_after": "0001-01-01T00:00:00Z"}}',
)  # fmt: skip
_VALUES = (
    "", "%00", "a%00b", "%ff", "%ed%a0%80", "9" * 400, "-1", "0", "9223372036854775807", "9223372036854775808",
    "1e3", "null", quote("\uff11\uff12"), quote("\U0001f600"), "x" * 5000, "%2A",
    *(quote(time) for time in ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z")),
    *(quote(time) for time in ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00")),
)  # fmt: skip
_HEADERS = (b"\xff", b"", b"9" * 400, b"-1", b'"', b"wait=999999999999", b"a,b", b"*")
_TYPES = ("application/json", "application/x-ndjson", "text/plain")
_ODD = ((b"origin", b"http://["), (b"cookie", b"taskledger_session=\xff"), (b"content-length", b"x"))


@dataclass(frozen=True, slots=True)
class HostileRequest:
    """A request, and the statuses that the document tells of."""

    method: str
    path: str
    documented: frozenset[str]
    content: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())

    async def sent(self, client: httpx.AsyncClient) -> httpx.Response:
        """Return what is answered."""
        return await client.request(self.method, self.path, content=self.content, headers=list(self.headers))


def hostile_requests(document: Document, there: Inhabitants) -> Iterator[HostileRequest]:
    """Return requests to every operation but the streams that do not end; what removes something comes last."""
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if not path.endswith("/stream")
    ]
    for path, method, operation in sorted(operations, key=lambda one: one[1] == "delete"):
        yield from _of_operation(path, method, operation, there)


def _of_operation(path: str, method: str, operation: Document, there: Inhabitants) -> Iterator[HostileRequest]:
    documented = frozenset(operation["responses"])
    known = _filled(path, there)
    for header in _ODD:
        yield HostileRequest(method, known, documented, headers=(header,))
    if "requestBody" in operation:
        for kind in _TYPES if path == "/tasks/batch" else _TYPES[:1]:
            for body in _BODIES:
                yield HostileRequest(method, known, documented, body, ((b"content-type", kind.encode()),))
    for parameter in operation.get("parameters", ()):
        yield from _of_parameter(path, method, parameter, documented, there)


def _of_parameter(
    path: str, method: str, parameter: Document, documented: frozenset[str], there: Inhabitants
) -> Iterator[HostileRequest]:
    name, known = parameter["name"], _filled(path, there)
    if parameter["in"] == "header":
        for header in _HEADERS:
            yield HostileRequest(method, known, documented, headers=((name.encode(), header),))
    elif parameter["in"] == "query":
        for value in _VALUES:
            yield HostileRequest(method, f"{known}?{name}={value}", documented)
        yield HostileRequest(method, f"{known}?{name}=1&{name}=2", documented)
    else:
        for value in _VALUES[1:]:
            yield HostileRequest(method, _filled(path.replace(f"{{{name}}}", value), there), documented)


def _filled(path: str, there: Inhabitants) -> str:
    names = {"queues": "mail", "schedules": "nightly", "webhooks": "hook", "projections": "task_status"}
    ids = {
        "task_id": there.tasks[4], "letter_id": there.letters[0], "bulk_id": there.bulk_acts[0],
        "order_id": there.erasures[0], "failure_id": there.failures[0], "worker_id": there.workers[0],
        "run_id": there.runs[0], "delivery_id": str(there.deliveries[0]),
        "name": names.get(path.split("/")[1], ""),
    }  # fmt: skip
    for name, value in ids.items():
        path = path.replace(f"{{{name}}}", value)
    return path
