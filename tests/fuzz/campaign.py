"""The campaign: schemathesis in all its phases over every operation, and what it found."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.python.asgi import get_client
from starlette.types import ASGIApp

from tests.fuzz.beyond_schema import is_beyond_schema
from tests.fuzz.inhabitants import Inhabitants

PHASES = ("examples", "coverage", "fuzzing", "stateful")
# 410: the month of a task is archived; 422: the idempotency key stands for another request.
_TAKEN = ("2xx", "3xx", "401", "403", "404", "409", "410", "422", "429", "503")
_REFUSED = ("400", "401", "403", "404", "405", "409", "410", "413", "422", "429", "503")
_STREAM_SECONDS = 0.4321  # they do not end by themselves
_STREAM_BOUND = f"read timeout={_STREAM_SECONDS}"  # it had nothing to say for so long
_KNOWN = 0.8  # how often a parameter names something that is there
_PATHS = {
    "task_id": "tasks", "letter_id": "letters", "bulk_id": "bulk_acts", "order_id": "erasures",
    "failure_id": "failures", "worker_id": "workers", "run_id": "runs", "delivery_id": "deliveries",
}  # fmt: skip
_NAMES = {"/queues": "queues", "/schedules": "schedules", "/webhooks": "webhooks", "/projections": "projections"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is tried.

    Attributes:
        examples: how many cases at most of each operation, in the phases that draw them.
        seconds: how long at most; None where the phases end by themselves.
        seed: the same one draws the same cases.
        token: the key that every request presents; None where nobody has to say who they are.
    """

    examples: int = 5
    seconds: int | None = None
    phases: Sequence[str] = PHASES
    seed: int = 1
    token: str | None = None


@dataclass(slots=True)
class Found:
    """What a campaign came across: the cases of each operation, the answers, and what is wrong."""

    cases: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    findings: dict[str, str] = field(default_factory=dict)

    def note(self, event: events.EngineEvent) -> None:
        """Take in what the engine says."""
        if isinstance(event, events.ScenarioFinished):
            self._count(event.recorder)
            self._judge(event.recorder)
        elif isinstance(event, events.NonFatalError) and _STREAM_BOUND not in str(event.value):
            self.findings.setdefault(f"{event.label}: {event.info.title}", str(event.value))
        elif isinstance(event, events.FatalError):
            raise event.exception

    def _count(self, recorder: ScenarioRecorder) -> None:
        for case_id, interaction in recorder.interactions.items():
            if case_id in recorder.cases:
                self.cases[recorder.cases[case_id].value.operation.label] += 1
            if interaction.response is not None:
                self.statuses[int(interaction.response.status_code)] += 1

    def _judge(self, recorder: ScenarioRecorder) -> None:
        for case_id, checks in recorder.checks.items():
            response = recorder.interactions[case_id].response
            text = "" if response is None else response.text
            for check in checks:
                if check.status is not Status.FAILURE or check.failure_info is None:
                    continue
                if check.name == "positive_data_acceptance" and is_beyond_schema(text):
                    continue
                failure, sample = check.failure_info.failure, check.failure_info.code_sample
                name = f"{failure.operation}: {check.name}: {failure.title}"
                self.findings.setdefault(name, f"{failure.message}\n{sample}\n{text}")


def search(app: ASGIApp, there: Inhabitants, effort: Effort) -> Found:
    """Send every operation what its document allows and what it forbids; return what was found."""
    config = SchemathesisConfig.from_dict(_configuration(there, effort))
    schema = schemathesis.openapi.from_dict(_document_of(app, with_keys=effort.token is not None), config=config)
    schema.app = app
    found = Found()
    for event in from_schema(schema).execute():
        found.note(event)
    return found


@schemathesis.serializer("application/x-ndjson")
def _lines(_context: schemathesis.SerializationContext, value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def _document_of(app: ASGIApp, *, with_keys: bool) -> dict[str, object]:
    with get_client(app) as client:  # type: ignore[arg-type]  # it says dict where ASGI says mutable mapping
        document: dict[str, object] = orjson.loads(client.get("/openapi.json").content)
    if with_keys:  # once there is a key, nothing goes without one any more
        return _without_open_door(document)
    return document


def _without_open_door(part: object) -> dict[str, object]:
    assert isinstance(part, dict)
    return {
        name: [one for one in value if one] if name == "security"
        else _without_open_door(value) if isinstance(value, dict)
        else value
        for name, value in part.items()
    }  # fmt: skip


def _configuration(there: Inhabitants, effort: Effort) -> dict[str, object]:
    more: dict[str, dict[str, object]] = {"coverage": {"generate-duplicate-query-parameters": True}}
    return {
        "seed": effort.seed,
        **({} if effort.seconds is None else {"max-time": effort.seconds}),
        "suppress-health-check": ["all"],
        "continue-on-failure": True,
        "request-timeout": 10.0,
        "max-stream-events": 3,
        "generation": {
            "max-examples": effort.examples,
            # The same cases again and again are of no use to who has more time.
            "deterministic": effort.seconds is None,
            "no-shrink": True,
            "database": "none",
        },
        "phases": {phase: {"enabled": phase in effort.phases, **more.get(phase, {})} for phase in PHASES},
        "checks": {
            "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "503"]},
            "positive_data_acceptance": {"expected-statuses": list(_TAKEN)},
            "negative_data_rejection": {"expected-statuses": list(_REFUSED)},
        },
        **_known(there),
        **({} if effort.token is None else {"headers": {"Authorization": f"Bearer {effort.token}"}}),
    }


def _known(there: Inhabitants) -> Mapping[str, object]:
    kinds = (*_PATHS.values(), *_NAMES.values(), "cursors")
    return {
        "dictionaries": {kind: {"values": list(getattr(there, kind))} for kind in kinds},
        "parameters": {
            **{f"path.{name}": _drawn(kind) for name, kind in _PATHS.items()},
            "query.cursor": _drawn("cursors"),
        },
        "operations": [
            {"include-path-regex": f"^{path}/", "parameters": {"path.name": _drawn(kind)}}
            for path, kind in _NAMES.items()
        ]
        + [{"include-path-regex": "/stream$", "request-timeout": _STREAM_SECONDS}],
    }


def _drawn(kind: str) -> Mapping[str, object]:
    return {"dictionary": kind, "probability": _KNOWN}
