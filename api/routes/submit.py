"""POST /tasks: the hot path, so a bare ASGI endpoint and no FastAPI route; it is documented all the same."""

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.body import parse_body, read_body
from api.caller import caller_of
from api.errors import InvalidRequestError, Part
from api.idempotency import idempotency_key_of
from api.intake import Intake
from api.json_response import CONTENT_TYPE
from api.origin import origin_of
from api.schemas import Submission
from ledger.bootstrap import Ledger
from ledger.errors import InvalidValueError
from ledger.specification import TaskSpecification
from ledger.store.keys import IdempotencyKey
from ledger.store.records import Appended, Origin

PATH = "/tasks"
POSITION_HEADER = "Ledger-Position"
REPLAYED_HEADER = "Idempotency-Replayed"
EXISTING_HEADER = "Ledger-Existing"

_EXISTING = (b"ledger-existing", b"true")
_REPLAYED = (b"idempotency-replayed", b"true")


class SubmitEndpoint:
    """Records a task and answers with its id once it is durable."""

    def __init__(self, ledger: Ledger) -> None:
        self._settings = ledger.settings
        self._commands = ledger.commands
        self._intake = Intake(ledger)
        self._traces = ledger.instruments.traces

    def route(self) -> Route:
        """Return the route; it has to stand before any other that has the path."""
        return Route(PATH, self, methods=["POST"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        origin = origin_of(scope)
        key = idempotency_key_of(scope["headers"])
        body = await read_body(scope, receive, bytes_max=self._settings.body_bytes_max)
        try:
            specification = self._intake.specification(parse_body(Submission, body), body)
            once = None if key is None else _key_of(scope, key, body)
            appended = await self._submit(specification, origin, once)
        except InvalidValueError as error:
            raise InvalidRequestError(Part.BODY, str(error)) from error
        await _accept(send, appended, prefix=scope.get("root_path", ""))

    async def _submit(
        self, specification: TaskSpecification, origin: Origin, key: IdempotencyKey | None
    ) -> Appended:
        if self._traces is None:
            return await self._commands.submit(specification, origin=origin, idempotency_key=key)
        with self._traces.submitting(origin, queue=specification.queue, kind=specification.kind) as traced:
            return await self._commands.submit(specification, origin=traced, idempotency_key=key)


def _key_of(scope: Scope, key: str, body: bytes) -> IdempotencyKey:
    caller = caller_of(scope)  # each caller has keys of their own
    return IdempotencyKey.of(key, path=PATH, body=body, scope="" if caller is None else caller.actor)


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
