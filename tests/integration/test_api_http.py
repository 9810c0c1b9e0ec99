"""The manners of the HTTP API: problem documents, CORS, security headers, documentation without a network."""

import re
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi.openapi.models import OpenAPI
from pydantic import JsonValue

from tests.integration.api_given import UNKNOWN_ID, assert_problem, opened_api

ORIGIN = "http://localhost:3000"
ROUTES = {
    "/tasks": {"get", "post"},
    "/tasks/batch": {"post"},
    "/tasks/{task_id}": {"get"},
    "/tasks/{task_id}/status": {"get"},
    "/tasks/{task_id}/events": {"get"},
    "/tasks/{task_id}/explain": {"get"},
    "/tasks/{task_id}/stream": {"get"},
    "/events/stream": {"get"},
    "/tasks/{task_id}/diff": {"get"},
    "/ledger": {"get"},
    "/ledger/diff": {"get"},
    "/audit": {"get"},
    "/events": {"get"},
    "/events/export": {"get"},
    "/queues": {"get"},
    "/queues/{name}": {"get", "put"},
    "/queues/{name}/settings": {"delete"},
    "/queues/{name}/changes": {"get"},
    "/queues/{name}/pause": {"post"},
    "/queues/{name}/resume": {"post"},
    "/queues/{name}/drain": {"post"},
    "/schedules": {"get"},
    "/schedules/{name}": {"get", "put", "delete"},
    "/schedules/{name}/changes": {"get"},
    "/schedules/{name}/fire": {"post"},
    "/schedules/{name}/pause": {"post"},
    "/schedules/{name}/resume": {"post"},
    "/dead-letters": {"get"},
    "/dead-letters/{letter_id}": {"get"},
    "/dead-letters/{letter_id}/redrive": {"post"},
    "/dead-letters/{letter_id}/discard": {"post"},
    "/dead-letters/redrive": {"post"},
    "/dead-letters/discard": {"post"},
    "/dead-letters/redrives/{bulk_id}": {"get"},
    "/dead-letters/redrives/{bulk_id}/cancel": {"post"},
    "/dead-letters/discards/{bulk_id}": {"get"},
    "/dead-letters/discards/{bulk_id}/cancel": {"post"},
    "/workers": {"get"},
    "/workers/{worker_id}": {"get"},
    "/workers/{worker_id}/changes": {"get"},
    "/workers/{worker_id}/drain": {"post"},
    "/workers/{worker_id}/resume": {"post"},
    "/bulk-acts": {"get"},
    "/bulk-acts/{bulk_id}": {"get"},
    "/bulk-acts/{bulk_id}/cancel": {"post"},
    "/tasks/retry": {"post"},
    "/tasks/cancel": {"post"},
    "/relay": {"get"},
    "/projections": {"get"},
    "/projections/runs": {"get"},
    "/projections/runs/{run_id}": {"get"},
    "/projections/runs/{run_id}/stream": {"get"},
    "/projections/{name}": {"get"},
    "/projections/{name}/rebuild": {"post"},
    "/projections/{name}/reset": {"post"},
    "/projections/{name}/runs": {"get"},
    "/projections/{name}/verify": {"post"},
    "/seals": {"get"},
    "/tasks/{task_id}/evidence": {"get"},
    "/tasks/{task_id}/cancel": {"post"},
    "/tasks/{task_id}/retry": {"post"},
    "/health": {"get"},
    "/health/ready": {"get"},
    "/metrics": {"get"},
    "/archives": {"get"},
    "/erasures": {"post"},
    "/erasures/{order_id}": {"get"},
    "/failures": {"get"},
    "/failures/{failure_id}": {"get"},
    "/stats": {"get"},
    "/tasks/{task_id}/erase": {"post"},
    "/tasks/{task_id}/timeline": {"get"},
    "/webhooks": {"get"},
    "/webhooks/{name}": {"get", "put", "delete"},
    "/webhooks/{name}/changes": {"get"},
    "/webhooks/{name}/deliveries": {"get"},
    "/webhooks/{name}/deliveries/{delivery_id}/redeliver": {"post"},
    **{f"/webhooks/{{name}}/{act}": {"post"} for act in ("pause", "resume", "rotate", "skip", "test")},
}


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with opened_api(database_url) as (_, client):
        yield client


async def test_health_is_answered_as_the_seed_does(client: httpx.AsyncClient) -> None:
    response = await client.get("/health")

    assert (response.status_code, response.content) == (200, b'{"status":"ok"}')
    assert response.headers["content-type"] == "application/json; charset=utf-8"


async def test_a_path_that_is_not_there_is_a_problem(client: httpx.AsyncClient) -> None:
    for path in ("/nothing", "/tasks/a/b/c", "/docs/assets/nothing.js", "/ui/nothing.js", "/docs/assets/../../x"):
        assert_problem(await client.get(path), 404, "Not Found")


async def test_a_method_that_is_not_there_is_a_problem_that_names_the_others(client: httpx.AsyncClient) -> None:
    responses = {path: await client.delete(path) for path in ("/tasks", f"/tasks/{UNKNOWN_ID}/cancel", "/health")}

    for response in responses.values():
        assert_problem(response, 405, "Method Not Allowed")
    assert [response.headers["allow"] for response in responses.values()] == ["GET, POST", "POST", "GET"]


async def test_a_path_that_has_a_name_of_its_own_is_no_task_with_a_bad_id(client: httpx.AsyncClient) -> None:
    for path in ("/tasks/batch", "/tasks/retry", "/tasks/cancel", "/dead-letters/redrive"):
        response = await client.get(path)
        assert_problem(response, 405, "Method Not Allowed")
        assert response.headers["allow"] == "POST"
    assert_problem(await client.get("/tasks/else"), 400, "Invalid Task ID format")


async def test_only_configured_origins_may_read_answers(client: httpx.AsyncClient) -> None:
    ours = await client.get("/health", headers={"Origin": ORIGIN})
    problem = await client.get("/tasks/nonsense", headers={"Origin": ORIGIN})
    others = await client.get("/health", headers={"Origin": "http://elsewhere.example"})

    assert ours.headers["access-control-allow-origin"] == ORIGIN
    assert problem.headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-origin" not in others.headers


async def test_a_browser_may_ask_before_it_posts(client: httpx.AsyncClient) -> None:
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-correlation-id",
    }

    ours = await client.options("/tasks", headers={"Origin": ORIGIN, **asked})
    others = await client.options("/tasks", headers={"Origin": "http://elsewhere.example", **asked})

    assert ours.status_code == 200
    assert "POST" in ours.headers["access-control-allow-methods"]
    assert others.status_code == 400


async def test_every_answer_forbids_guessing_framing_and_scripts(client: httpx.AsyncClient) -> None:
    for path in ("/health", "/tasks", "/tasks/nonsense", "/nothing", "/openapi.json"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["cache-control"] == "no-store"
    submitted = await client.post("/tasks", json={"input": 1})
    assert submitted.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_a_page_loads_only_what_we_serve_and_its_policy_allows_no_inline_script(
    client: httpx.AsyncClient, path: str
) -> None:
    page = await client.get(path)

    policy = page.headers["content-security-policy"]
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"<script(?![^>]* src=)|\son\w+=|<style|\sstyle=|https?:", page.text)
    loaded = re.findall(r'(?:src|href|spec-url)="([^"]+)"', page.text)
    for reference in loaded:
        if not reference.startswith("data:"):
            assert (await client.get(f"/{reference}")).status_code == 200, reference


@pytest.mark.parametrize("name", ["act", "keys", "live", "past"])
async def test_the_scripts_of_the_dashboard_never_make_markup_of_text(
    client: httpx.AsyncClient, name: str
) -> None:
    script = await client.get(f"/ui/{name}.js")

    assert script.headers["content-type"].startswith("text/javascript")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script.text)


async def test_the_root_leads_to_the_dashboard(client: httpx.AsyncClient) -> None:
    assert (await client.get("/", follow_redirects=True)).url.path == "/ui"


async def test_the_document_is_valid_and_has_every_route(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    OpenAPI.model_validate(document)
    assert {path: set(operations) for path, operations in document["paths"].items()} == ROUTES
    for reference in set(_references(document)):
        part = document
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert [operation["operationId"] for operation in operations if "422" in operation["responses"]] == [
        "submit_tasks_post"  # an idempotency key that was used with another body
    ]


async def test_the_document_shows_the_submit_with_its_problems_and_examples(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    submit = document["paths"]["/tasks"]["post"]
    schema = document["components"]["schemas"]["Submission"]

    assert set(submit["responses"]) == {"202", "400", "401", "403", "409", "413", "422", "429", "503"}
    assert set(submit["responses"]["202"]["headers"]) == {
        "Location",
        "Ledger-Position",
        "Ledger-Existing",
        "Idempotency-Replayed",
    }
    assert schema["required"] == ["input"]
    assert schema["additionalProperties"] is False
    for example in schema["examples"]:
        assert (await client.post("/tasks", json=example)).status_code == 202


async def test_every_answer_has_what_the_document_says(client: httpx.AsyncClient) -> None:
    schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    task_id = (await client.post("/tasks", json={"input": 1})).json()["task_id"]

    answers = {
        "TaskStatus": f"/tasks/{task_id}/status",
        "TaskShown": f"/tasks/{task_id}",
        "History": f"/tasks/{task_id}/events",
        "TaskPage": "/tasks",
        "Ready": "/health/ready",
        "Health": "/health",
    }

    for name, path in answers.items():
        assert set((await client.get(path)).json()) == set(schemas[name]["properties"]), name
    event = (await client.get(f"/tasks/{task_id}/events")).json()["events"][0]
    assert set(event) == set(schemas["EventShown"]["properties"])


def _references(part: JsonValue) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(reference := part.get("$ref"), str):
            yield reference
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)
