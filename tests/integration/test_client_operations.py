"""The client has every operation of the API, with everything that it takes and all that it answers."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import reduce
from operator import attrgetter
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from api.client import ApiError, Page, Retries, TaskLedger
from tests.integration.client_operations import ALIASES, OPERATIONS
from tests.unit.scripted_server import Request, problem, scripted

# A page is as long as the server has it, and the client says itself what asks for the next one.
_PAGING = {"limit", "cursor", "before"}
_LEFT_OUT: Mapping[str, set[str]] = {
    "GET /schedules": {"after"},
    "GET /webhooks": {"after"},
    # The client waits by `Prefer` for a status that differs.
    "GET /tasks/{task_id}": {"since_version"},
    "GET /tasks/{task_id}/status": {"since_version"},
    # One of the two says when.
    "POST /tasks": {"delay_s"},
    "POST /tasks/batch": {"run_at"},
}


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    """What the API says of itself."""
    shown: dict[str, Any] = (await client.get("/openapi.json")).json()
    return shown


def _operations(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


async def test_every_operation_of_the_api_has_one_of_the_client_that_asks_for_it_with_all_it_takes(
    document: dict[str, Any],
) -> None:
    operations = _operations(document)

    assert set(OPERATIONS) | set(ALIASES) == set(operations)
    assert set(ALIASES.values()) <= set(OPERATIONS)
    for name, request in _requests():
        method, template = name.split(" ")
        path, asked_for = urlsplit(request.path), operations[name]
        assert (method, True) == (request.method, bool(re.fullmatch(_pattern(template), path.path))), name
        known = {one["name"] for one in asked_for.get("parameters", ()) if one["in"] == "query"}
        _assert_names(name, set(parse_qs(path.query)), known)
        if "requestBody" in asked_for:
            _assert_body(name, json.loads(request.body), _body_of(asked_for), document)


def _requests() -> Iterator[tuple[str, Request]]:
    """Ask for each operation at a server that refuses it."""
    with scripted(problem(400, "no")) as server:
        client = TaskLedger(server.url, retries=Retries(attempts_max=1))
        for name, asked in OPERATIONS.items():
            with suppress(ApiError):
                answer = attrgetter(asked.name)(client)(*asked.given, **asked.options)
                next(answer)
            yield name, server.requests.pop()
            assert server.requests == []
        client.close()


def _pattern(template: str) -> str:
    return re.sub(r"\{\w+\}", "[^/]+", template)


def _body_of(operation: Mapping[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["schema"]
    return schema


def _assert_names(name: str, sent: set[str], known: set[str]) -> None:
    assert sent <= known, name
    assert known - sent <= _PAGING | _LEFT_OUT.get(name, set()), name


def _assert_body(name: str, sent: object, schema: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    schema = _resolved(schema, document)
    if isinstance(sent, list) and "items" in schema:
        _assert_body(name, sent[0], schema["items"], document)
    elif isinstance(sent, dict) and "properties" in schema:
        _assert_names(name, set(sent), set(schema["properties"]))
        for field, value in sent.items():
            _assert_body(name, value, schema["properties"][field], document)


async def test_what_the_api_answers_has_a_place_in_what_the_client_returns(document: dict[str, Any]) -> None:
    client, compared = TaskLedger("http://127.0.0.1:1"), 0
    for name, operation in _operations(document).items():
        if name in ALIASES:
            continue
        shape, is_listed = _shape_of(client, OPERATIONS[name].name)
        for schema in _answers(operation, document) if is_dataclass(shape) else ():
            answered = _first_list(schema, document) if is_listed else schema
            _assert_shape(f"{name}: {shape.__name__}", shape, answered, document)
            compared += 1

    assert compared > 60


def _shape_of(client: TaskLedger, name: str) -> tuple[Any, bool]:
    """Return what an operation of the client returns, and whether it is what a list has."""
    *topics, method = name.split(".")
    topic: object = reduce(getattr, topics, client)
    hint = get_type_hints(getattr(type(topic), method))["return"]
    is_listed = False
    while get_args(hint):
        is_listed = is_listed or get_origin(hint) in (Page, Sequence)
        hint = get_args(hint)[0]
    return hint, is_listed


def _answers(operation: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for status, answer in operation["responses"].items():
        schema = answer.get("content", {}).get("application/json", {}).get("schema")
        # A sample of a bulk act, and the count of an erasure, are what its dry run answers.
        resolved = _resolved(schema, document) if schema else {}
        if status.startswith("2") and "properties" in resolved and "dry_run" not in resolved["properties"]:
            yield resolved


def _first_list(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(_resolved(one["items"], document) for one in schema["properties"].values() if "items" in one)


def _assert_shape(name: str, shape: type, schema: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    places = {one.metadata.get("json", one.name): one.name for one in fields(shape)}
    hints = get_type_hints(shape)
    for field, inner in schema["properties"].items():
        assert field in places, f"{name}.{field}"
        hinted = (hints[places[field]], *get_args(hints[places[field]]))
        below = [one for one in hinted if isinstance(one, type) and is_dataclass(one)]
        for found in _objects(inner, document) if below else ():
            _assert_shape(f"{name}.{field}", below[0], found, document)


def _objects(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    schema = _resolved(schema, document)
    inner = [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else [])]
    found = [one for part in inner for one in _objects(part, document)]
    return [*found, schema] if "properties" in schema else found


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return dict(schema)
    return _resolved(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
