"""A real HTTP server on a socket that answers what a test has written down for it, and drops what it shall."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered; without a status the connection is closed without an answer."""

    status: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Script:
    """The answers to come, the last of which stays, and the requests so far."""

    url: str
    replies: list[Reply]
    requests: list[Request] = field(default_factory=list)


def problem(status: int, name: str, **headers: str) -> Reply:
    """Return a problem document."""
    body = '{"type":"urn:task-ledger:problem:%s","title":"No","status":%d,"detail":"kind must be short, got 1"}'
    return Reply(status, (body % (name, status)).encode(), headers)


@contextmanager
def scripted(*replies: Reply) -> Iterator[Script]:
    """Serve these replies, one a request."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    script = Script(f"http://127.0.0.1:{server.server_address[1]}", list(replies))
    server.script = script  # type: ignore[attr-defined]  # where the handler finds it
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        script: Script = self.server.script  # type: ignore[attr-defined]  # put there above
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        script.requests.append(Request(self.command, self.path, headers, body))
        reply = script.replies.pop(0) if len(script.replies) > 1 else script.replies[0]
        if reply.status is None:
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)
