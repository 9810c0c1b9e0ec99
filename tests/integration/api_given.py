"""What the tests of the HTTP API begin with."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from api.app import create_app
from api.guard import Access
from ledger.bootstrap import Ledger, open_ledger
from ledger.broker.port import Broker
from ledger.settings import load_settings

UNKNOWN_ID = "01900000-0000-7000-8000-000000000000"


@asynccontextmanager
async def opened_api(url: str, **settings: object) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    """Open a ledger with these settings on top of the defaults, and a client of the API on it."""
    async with open_ledger(load_settings(database_url=url, **settings)) as ledger, client_of(ledger) as client:
        yield ledger, client


@asynccontextmanager
async def client_of(
    ledger: Ledger, broker: Broker | None = None, *, access: Access | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client that calls the application without a socket; what the application raises comes out here."""
    transport = httpx.ASGITransport(create_app(ledger, broker, access))
    async with httpx.AsyncClient(transport=transport, base_url="http://ledger") as client:
        yield client


async def submitted(client: httpx.AsyncClient, **task: object) -> str:
    """Submit a task and return its id."""
    response = await client.post("/tasks", json={"input": "hello", **task})
    assert response.status_code == 202, response.text
    return str(response.json()["task_id"])


def assert_problem(response: httpx.Response, status: int, error: str) -> None:
    """Assert that the answer is a whole problem document, and that its `error` begins with this."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert all(document[member] for member in ("type", "title", "detail", "error"))
    assert document["error"].startswith(error), document["error"]


async def page(client: httpx.AsyncClient, path: str, status: int = 200) -> str:
    """Return a page of the dashboard, each stretch of white space as one space."""
    response = await client.get(path)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return re.sub(r"\s+", " ", response.text)
