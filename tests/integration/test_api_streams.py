"""Streams of events over a real server: no event is missed or comes twice, and nobody hangs when it stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import httpx
import pytest

from api.app import create_app
from api.server import serving
from ledger.bootstrap import Ledger, open_ledger
from ledger.settings import load_settings
from tests.integration.api_given import UNKNOWN_ID, assert_problem, submitted
from tests.integration.given import eventually, fetch, started
from tests.integration.sse import event_source

AT_ONCE_SECONDS = 5.0
INSERT = """
    INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at, actor,
                               correlation_id)
    VALUES ($1, 1, 'task.submitted', 1, 'slow', 'default', '{}', now(), 'test', 'test')
"""
LISTENERS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'
"""


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with _served(database_url) as api:
        yield api


async def test_a_task_is_streamed_from_its_beginning_and_on(client: httpx.AsyncClient, ledger: Ledger) -> None:
    await submitted(client)
    task_id = await submitted(client)

    async with event_source(client, f"/tasks/{task_id}/stream") as source:
        first = await source.take(1)
        await submitted(client)
        await started(ledger, UUID(task_id))
        second = await source.take(1)

    shown = (await client.get(f"/tasks/{task_id}/events")).json()["events"]
    assert source.response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert source.response.headers["cache-control"] == "no-store"
    assert [event.data for event in first + second] == shown
    assert [(event.id, event.type) for event in first + second] == [
        (event["position"], event["type"]) for event in shown
    ]


async def test_a_stream_goes_on_where_it_was_on_another_server(database_url: str) -> None:
    async with _served(database_url) as (_, client):
        before = [await submitted(client) for _ in range(3)]
        async with event_source(client, "/events/stream?after=0") as source:
            seen = await source.take(2)
        missed = [await submitted(client) for _ in range(2)]
    async with (
        _served(database_url) as (_, client),
        event_source(client, "/events/stream?after=0", last_id=source.last_id) as source,
    ):
        seen += await source.take(3)
        after = await submitted(client)
        seen += await source.take(1)

    assert [event.data["task_id"] for event in seen] == [*before, *missed, after]


async def test_a_stream_of_what_happens_next_can_be_resumed_before_anything_happened(
    client: httpx.AsyncClient,
) -> None:
    await submitted(client)
    async with event_source(client, "/events/stream") as source:
        await source.until_id()
    missed = await submitted(client)

    async with event_source(client, "/events/stream", last_id=source.last_id) as source:
        (event,) = await source.take(1)

    assert event.data["task_id"] == missed


async def test_a_stream_has_only_what_its_filter_asks_for(client: httpx.AsyncClient, ledger: Ledger) -> None:
    wanted = [await submitted(client, kind="mail.send", queue="mail")]
    await submitted(client, kind="mail.send", queue="other")
    await submitted(client, kind="other", queue="mail")
    path = "/events/stream?after=0&kind=mail.send&queue=mail&types=task.submitted,task.cancelled&types=task.held"

    async with event_source(client, path) as source:
        seen = await source.take(1)
        await submitted(client)
        await started(ledger, UUID(wanted[0]))
        wanted.append(await submitted(client, kind="mail.send", queue="mail"))
        seen += await source.take(1)

    assert [event.data["task_id"] for event in seen] == wanted


async def test_an_event_that_is_committed_late_comes_in_its_place(
    client: httpx.AsyncClient, database_url: str
) -> None:
    late_id = UUID(UNKNOWN_ID)
    writer = await asyncpg.connect(database_url)
    async with event_source(client, "/events/stream") as source:
        await source.until_id()
        async with writer.transaction():
            await writer.execute(INSERT, late_id)
            early_id = await submitted(client)
        seen = await source.take(2)
    await writer.close()

    assert [event.data["task_id"] for event in seen] == [str(late_id), early_id]
    assert seen[0].id < seen[1].id


async def test_a_quiet_stream_shows_that_it_lives_and_how_far_it_has_come(database_url: str) -> None:
    async with (
        _served(database_url, stream_heartbeat_seconds=0.05) as (_, client),
        event_source(client, "/events/stream?types=task.failed") as source,
    ):
        await source.until_id()
        begun = int(source.last_id)
        unwanted = await client.post("/tasks", json={"input": 1})
        await source.until_id()

    assert set(source.comments) == {"heartbeat"}
    assert begun < int(source.last_id) == int(unwanted.headers["ledger-position"])


async def test_streams_are_bounded_and_a_client_that_goes_away_frees_its_place(database_url: str) -> None:
    async with _served(database_url, streams_max=1) as (ledger, client):
        async with event_source(client, "/events/stream") as source:
            await source.until_id()
            async with event_source(client, "/events/stream") as refused:
                pass
        await eventually(lambda: _nobody_listens(ledger), what="nobody listens any more")
        async with event_source(client, "/events/stream") as again:
            await again.until_id()

    assert_problem(
        refused.response, 503, "As many as may wait at once are waiting already: 1 (LEDGER_STREAMS_MAX)"
    )
    assert refused.response.headers["retry-after"] == "1"


async def test_a_server_that_stops_ends_its_streams(database_url: str) -> None:
    async with asyncio.timeout(AT_ONCE_SECONDS), httpx.AsyncClient() as outside:
        async with _served(database_url) as (_, client):
            stream = event_source(outside, f"{client.base_url}/events/stream")
            source = await stream.__aenter__()
            await source.until_id()
        end = await source.next()
        await stream.__aexit__(None, None, None)

    assert end is None


async def test_a_client_that_does_not_read_keeps_no_server_from_stopping(database_url: str) -> None:
    async with asyncio.timeout(AT_ONCE_SECONDS + 5):
        async with _served(database_url) as (_, client):
            for _ in range(12):
                await submitted(client, input="x" * 900_000)
            _, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
            writer.write(b"GET /events/stream?after=0 HTTP/1.1\r\nHost: x\r\n\r\n")
            await writer.drain()
            async with event_source(client, "/events/stream?after=0") as reading:
                assert len(await reading.take(12)) == 12
        writer.close()


@pytest.mark.parametrize(
    ("path", "last_id", "status", "error"),
    [
        (f"/tasks/{UNKNOWN_ID}/stream", None, 404, "Task not found"),
        ("/tasks/nonsense/stream", None, 400, "Invalid Task ID format"),
        ("/events/stream", "latest", 400, "Invalid request header: Last-Event-ID must be a position"),
        ("/events/stream?after=-1", None, 400, "Invalid request query: after"),
        ("/events/stream?types=Task Failed", None, 400, "Invalid request query: types"),
        ("/events/stream?colour=red", None, 400, "Invalid request query: unknown field: colour"),
    ],
)
async def test_what_cannot_be_streamed_is_a_problem(
    client: httpx.AsyncClient, path: str, last_id: str | None, status: int, error: str
) -> None:
    async with event_source(client, path, last_id=last_id) as source:
        assert_problem(source.response, status, error)


@asynccontextmanager
async def _served(url: str, **settings: object) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    configured = load_settings(database_url=url, port=0, poll_interval_seconds=0.05, **settings)
    async with (
        open_ledger(configured) as ledger,
        serving(create_app(ledger), configured) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield ledger, client


async def _nobody_listens(ledger: Ledger) -> bool:
    return bool((await fetch(ledger, LISTENERS))[0]["count"] == 0)
