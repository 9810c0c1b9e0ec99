"""Every answer is one that the OpenAPI document tells of, whatever is asked; longer: `python -m tests.fuzz`."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from tests.fuzz.application import HostedApi, close_hosted
from tests.fuzz.campaign import Effort, search
from tests.fuzz.hostile import hostile_requests
from tests.fuzz.inhabitants import SETTINGS, Inhabitants, inhabit, keys_of_every_scope
from tests.integration.api_given import opened_api
from tests.services.postgres import run_apart


@pytest.fixture
def there(database_url: str, tmp_path: Path) -> Iterator[Inhabitants]:
    yield run_apart(inhabit(database_url, tmp_path))
    close_hosted()


def test_nothing_is_found_at_any_operation(database_url: str, there: Inhabitants) -> None:
    found = search(HostedApi(database_url), there, Effort(examples=3, phases=("examples", "fuzzing", "stateful")))

    assert found.findings == {}
    assert {200, 202, 400, 404, 409, 410} <= set(found.statuses)
    assert len(found.cases) > 80


def test_an_answer_that_is_not_documented_is_found(database_url: str, there: Inhabitants) -> None:
    hosted = HostedApi(database_url)

    async def liar(scope: Scope, receive: Receive, send: Send) -> None:
        strange = {"/health": JSONResponse({}, 418), "/queues": JSONResponse({"queues": 1})}
        await strange.get(scope.get("path", ""), hosted)(scope, receive, send)

    found = search(liar, there, Effort(examples=1, phases=("fuzzing",)))

    assert {name.rpartition(": ")[0] for name in found.findings} == {
        "GET /health: status_code_conformance",
        "GET /health: positive_data_acceptance",
        "GET /queues: response_schema_conformance",
    }


def test_nothing_is_answered_without_a_good_key_once_there_is_one(database_url: str, there: Inhabitants) -> None:
    token = run_apart(keys_of_every_scope(database_url))["admin"]

    found = search(HostedApi(database_url), there, Effort(examples=1, phases=("fuzzing",), token=token))

    assert found.findings == {}
    assert {200, 401} <= set(found.statuses)


async def test_what_no_schema_makes_up_is_answered_as_documented(database_url: str, there: Inhabitants) -> None:
    async with opened_api(database_url, **SETTINGS) as (_, client):
        document = (await client.get("/openapi.json")).json()

        undocumented = {
            f"{asked.method} {asked.path} {asked.content!r} {asked.headers}": answer.status_code
            for asked in hostile_requests(document, there)
            if str((answer := await asked.sent(client)).status_code) not in asked.documented
        }

    assert undocumented == {}


async def test_an_operation_refuses_every_key_that_has_not_its_scope(database_url: str) -> None:
    keys = run_apart(keys_of_every_scope(database_url))
    async with opened_api(database_url) as (_, client):
        document = (await client.get("/openapi.json")).json()

        wrong = {
            f"{scope}: {method} {path}": status
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
            for scope, token in keys.items()
            if "x-scope" in operation and scope not in ("admin", operation["x-scope"])
            if (status := await _status(client, method, path, token)) != 403 or "403" not in operation["responses"]
        }

    assert wrong == {}


async def _status(client: httpx.AsyncClient, method: str, path: str, token: str) -> int:
    return (await client.request(method, path, headers={"Authorization": f"Bearer {token}"})).status_code
