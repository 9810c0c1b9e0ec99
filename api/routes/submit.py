"""POST /tasks: the hot path, so a bare ASGI endpoint and no FastAPI route; it is documented all the same."""

from datetime import timedelta
from typing import TypeVar

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.body import parse_body, read_body
from api.errors import InvalidRequestError, Part
from api.idempotency import idempotency_key_of
from api.json_response import CONTENT_TYPE
from api.origin import origin_of
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
from ledger.store.keys import IdempotencyKey
from ledger.store.records import Appended

PATH = "/tasks"
POSITION_HEADER = "Ledger-Position"
REPLAYED_HEADER = "Idempotency-Replayed"
EXISTING_HEADER = "Ledger-Existing"

_EXISTING = (b"ledger-existing", b"true")
_REPLAYED = (b"idempotency-replayed", b"true")

Given = TypeVar("Given")


class SubmitEndpoint:
    """Records a task and answers with its id once it is durable."""

    def __init__(self, ledger: Ledger) -> None:
        self._settings = ledger.settings
        self._commands = ledger.commands
        self._clock = ledger.clock
        self._backoff = Backoff(ledger.settings.retry_base_seconds, ledger.settings.retry_cap_seconds)

    def route(self) -> Route:
        """Return the route; it has to stand before any other that has the path."""
        return Route(PATH, self, methods=["POST"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        origin = origin_of(scope["headers"])
        key = idempotency_key_of(scope["headers"])
        body = await read_body(scope, receive, bytes_max=self._settings.body_bytes_max)
        try:
            appended = await self._commands.submit(
                self._specification(body),
                origin=origin,
                idempotency_key=None if key is None else IdempotencyKey.of(key, path=PATH, body=body),
            )
        except InvalidValueError as error:
            raise InvalidRequestError(Part.BODY, str(error)) from error
        await _accept(send, appended, prefix=scope.get("root_path", ""))

    def _specification(self, body: bytes) -> TaskSpecification:
        given = parse_body(Submission, body)
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
            unique_key=given.unique_key,
        )

    def _check_depth(self, given: Submission, body: bytes) -> None:
        # The ledger has a bound of its own; a body with fewer brackets than the bound cannot nest deeper.
        depth_max = self._settings.json_depth_max
        if depth_max < DEPTH_MAX and body.count(b"[") + body.count(b"{") > depth_max:
            check_json(given.input, field="input", depth_max=depth_max)


def _or(given: Given | None, default: Given) -> Given:
    return default if given is None else given


async def _accept(send: Send, appended: Appended, *, prefix: str) -> None:
    task_id = str(appended.task_id)
    body = b'{"task_id":"%b"}' % task_id.encode("ascii")
    headers = [
        (b"content-type", CONTENT_TYPE.encode("ascii")),
        (b"content-length", b"%d" % len(body)),
        (b"location", f"{prefix}{PATH}/{task_id}".encode("latin-1")),
        (b"ledger-position", b"%d" % appended.position),
    ]
    if appended.existing:
        headers.append(_EXISTING)
    if appended.replayed:
        headers.append(_REPLAYED)
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": body})
