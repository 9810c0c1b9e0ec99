"""Streams and long reads whose key or session is over: they end within seconds, and say why."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from api.app import create_app
from api.guard import SESSION_COOKIE, Access
from api.server import serving
from ledger.access.api_key import ApiKey, Scope
from ledger.access.commands import create_key, revoke_key
from ledger.bootstrap import Ledger, open_ledger
from ledger.settings import load_settings
from tests.integration.api_given import assert_problem, submitted
from tests.integration.given import caught_up, execute
from tests.integration.sse import EventSource, event_source

ENDED_SECONDS_MAX = 5.0


@dataclass(frozen=True, slots=True)
class Stand:
    """A running API, its ledger and a client."""

    ledger: Ledger
    client: httpx.AsyncClient

    async def key(self, name: str) -> str:
        """Make a key for everything, and present it from now on."""
        key = ApiKey(name=name, scopes=frozenset({Scope.ADMIN}))
        token = await create_key(self.ledger.database, key, actor="cli:test")
        self.present(token)
        return token

    def present(self, token: str) -> None:
        """Present this key from now on."""
        self.client.headers["Authorization"] = f"Bearer {token}"

    async def log_in(self, token: str) -> None:
        """Open a session of the dashboard, and present nothing else from now on."""
        await self.client.post("/ui/login", data={"key": token})
        del self.client.headers["Authorization"]


@pytest.fixture
async def stand(database_url: str) -> AsyncIterator[Stand]:
    settings = load_settings(database_url=database_url, port=0, poll_interval_seconds=0.05)
    async with open_ledger(settings) as ledger:
        app = create_app(ledger, access=Access(ledger, look_seconds=0.05))
        async with (
            serving(app, settings) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        ):
            yield Stand(ledger, client)


@asynccontextmanager
async def _open_streams(stand: Stand) -> AsyncIterator[list[EventSource]]:
    """Open a stream of each kind, each with its first event read."""
    task_id = await submitted(stand.client)
    run = (await stand.client.post("/projections/task_status/verify")).json()
    paths = (f"/tasks/{task_id}/stream", "/events/stream?after=0", f"/projections/runs/{run['run_id']}/stream")
    async with AsyncExitStack() as stack:
        sources = [await stack.enter_async_context(event_source(stand.client, path)) for path in paths]
        for source in sources:
            await source.take(1)
        yield sources


async def _assert_ended(sources: list[EventSource]) -> None:
    async with asyncio.timeout(ENDED_SECONDS_MAX):
        for source in sources:
            said, end = await source.next(), await source.next()
            assert said is not None
            assert (said.type, said.data["reason"], end) == ("closed", "not-authenticated", None)


async def test_a_revoked_key_ends_its_streams_and_those_of_no_other(stand: Stand) -> None:
    shop, other = await stand.key("shop"), await stand.key("other")
    async with event_source(stand.client, "/events/stream?after=0") as others:
        stand.present(shop)
        async with _open_streams(stand) as sources:
            await revoke_key(stand.ledger.database, "shop", actor="cli:test")
            await _assert_ended(sources)
        stand.present(other)
        task_id = await submitted(stand.client)
        seen = await others.take(2)

    assert seen[-1].data["task_id"] == task_id


async def test_a_long_read_of_a_revoked_key_is_refused_instead_of_answered(stand: Stand) -> None:
    await stand.key("shop")
    task_id = await submitted(stand.client)
    await caught_up(stand.ledger)
    async with asyncio.timeout(ENDED_SECONDS_MAX):
        waiting = asyncio.create_task(stand.client.get(f"/tasks/{task_id}", headers={"Prefer": "wait=20"}))
        async with event_source(stand.client, "/events/stream?after=0") as source:
            await source.take(1)
            await revoke_key(stand.ledger.database, "shop", actor="cli:test")
            answer = await waiting

    assert_problem(answer, 401, "The API key is not known, revoked or over")


@pytest.mark.parametrize("how", ["logout", "key expired", "session expired"])
async def test_the_end_of_a_session_ends_its_streams(stand: Stand, how: str) -> None:
    await stand.log_in(await stand.key("ann"))
    cookie = {"Cookie": f"{SESSION_COOKIE}={stand.client.cookies[SESSION_COOKIE]}"}
    async with event_source(stand.client, "/events/stream?after=0") as source:
        if how == "logout":
            await stand.client.post("/ui/logout", headers=cookie)
        elif how == "key expired":
            await execute(stand.ledger, "UPDATE ledger.api_keys SET expires_at = clock_timestamp()")
        else:
            await execute(stand.ledger, "UPDATE ledger.sessions SET expires_at = clock_timestamp()")
        async with asyncio.timeout(ENDED_SECONDS_MAX):
            lines = [line async for line in source.response.aiter_lines()]

    assert "event: closed" in lines


async def test_streams_of_before_the_first_key_end_with_it(stand: Stand) -> None:
    async with _open_streams(stand) as sources:
        await stand.key("first")

        await _assert_ended(sources)
