"""The OpenAPI document: what FastAPI finds in the routes, and the submit that is no FastAPI route."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from api.answers import ProblemDocument, Submitted
from api.bulk_act_shapes import TaskBulkRequest
from api.dead_letter_shapes import BulkRequest, DiscardReason
from api.erasure_shapes import ErasureRequest
from api.needed_scope import needed_scope
from api.openapi_bounds import tell_bounds
from api.origin import CORRELATION_ID_PATTERN
from api.queue_schemas import QueueSettingsGiven
from api.schedule_schemas import ScheduleBody
from api.schemas import BatchItem, Reason, Submission
from api.webhook_schemas import RotateBody, SkipBody, WebhookBody
from ledger.store.keys import IDEMPOTENCY_KEY_PATTERN

TITLE = "Task Ledger"
DESCRIPTION = (
    "An event-sourced task queue. A task that was answered 202 is durable; everything that happens to it is an "
    "event that can be read back. Every error is a problem document (RFC 9457) with the member `error` beside it."
)
_REFERENCE = "#/components/schemas/{model}"
_PROBLEM_TYPE = "application/problem+json"
# FastAPI documents its own validation answer at every route with parameters; ours is 400.
_UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")
_RECEIPT_HEADERS = {
    "Location": {"description": "Where the task can be read.", "schema": {"type": "string"}},
    "Ledger-Position": {
        "description": "Where its first event stands in the ledger.",
        "schema": {"type": "integer"},
    },
    "Ledger-Existing": {
        "description": "`true` when no task was made, because this unfinished one has the same `unique_key`.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Idempotency-Replayed": {
        "description": "`true` when the request was answered before, under the same key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
# Of routes that read their bodies by themselves.
_MODELS = (
    BatchItem, BulkRequest, DiscardReason, ErasureRequest, ProblemDocument, QueueSettingsGiven, Reason, RotateBody,
    ScheduleBody, SkipBody, Submission, Submitted, TaskBulkRequest, WebhookBody,
)  # fmt: skip
_EXAMPLE_ID = "0198f3c2-7a1e-7c3a-9d52-0f4be0a1c9d7"


class DocumentedApi(FastAPI):
    """FastAPI with a complete document.

    Attributes:
        page_size_max: how many entries a page may have (LEDGER_PAGE_SIZE_MAX).
    """

    page_size_max: int

    def openapi(self) -> dict[str, Any]:
        """Return the document; made once."""
        if self.openapi_schema is None:
            self.openapi_schema = _complete(super().openapi(), page_size_max=self.page_size_max)
        return self.openapi_schema


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route for the problems that it can answer."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {_PROBLEM_TYPE: {"schema": _reference(ProblemDocument)}},
        }
        for status in statuses
    }


def body_of(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Return the `requestBody` of a route that reads its body by itself."""
    return {"required": required, "content": {"application/json": {"schema": _reference(model)}}}


def event_stream(description: str) -> dict[str, Any]:
    """Return the answer of a route that streams server-sent events; the schema is that of one event."""
    event = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
        "required": ["data"],
    }
    return {"description": description, "content": {"text/event-stream": {"schema": event}}}


def batch_body() -> dict[str, Any]:
    """Return the `requestBody` of a batch: an array of items, or an item a line."""
    item = _reference(BatchItem)
    return {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "array", "minItems": 1, "items": item}},
            "application/x-ndjson": {"schema": item},
        },
    }


def _complete(document: dict[str, Any], *, page_size_max: int) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _UNUSED_SCHEMAS:
        schemas.pop(name, None)
    for model in _MODELS:
        _define(schemas, model)
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    document["paths"]["/tasks"]["post"] = _submit_operation()
    _tell_of_keys(document)
    tell_bounds(document, page_size_max=page_size_max)
    document["paths"] = dict(sorted(document["paths"].items()))
    return document


def _tell_of_keys(document: dict[str, Any]) -> None:
    document["components"]["securitySchemes"] = {
        "apiKey": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key; needed as soon as there is one.",
        }
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            needed = needed_scope(method.upper(), path)
            if needed is None:
                continue
            operation["security"] = [{"apiKey": []}, {}]  # the empty one: while there is no key
            operation["x-scope"] = str(needed)
            for status, response in problems(401, 403, 429).items():
                operation["responses"].setdefault(str(status), response)


def _define(schemas: dict[str, Any], model: type[BaseModel]) -> None:
    schema = model.model_json_schema(ref_template=_REFERENCE)
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema


def _reference(model: type[BaseModel]) -> Mapping[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}


def _submit_operation() -> dict[str, Any]:
    return {
        "tags": ["tasks"],
        "summary": "Submit",
        "description": "Record a task; it is durable when this answers.",
        "operationId": "submit_tasks_post",
        "parameters": _submit_parameters(),
        "requestBody": body_of(Submission),
        "responses": {
            "202": {
                "description": "Recorded",
                "headers": _RECEIPT_HEADERS,
                "content": {
                    "application/json": {"schema": _reference(Submitted), "example": {"task_id": _EXAMPLE_ID}}
                },
            },
            **{str(status): response for status, response in problems(400, 409, 413, 422, 503).items()},
        },
    }


def _submit_parameters() -> list[dict[str, Any]]:
    return [
        _header("X-Correlation-Id", "The story that the task belongs to.", {"pattern": CORRELATION_ID_PATTERN}),
        _header(
            "Idempotency-Key",
            "The client's own name for this request: when it comes again with the same key and body, it is "
            "answered as the first time and makes no second task.",
            {"pattern": IDEMPOTENCY_KEY_PATTERN},
        ),
        _header("traceparent", "W3C trace context; ignored when it is not valid.", {}),
    ]


def _header(name: str, description: str, schema: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema},
    }
