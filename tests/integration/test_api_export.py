"""GET /events/export: the log as NDJSON and CSV, whole, in constant memory, up to the horizon of its start."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from api.app import create_app
from api.export import COLUMNS
from api.server import serving
from ledger.bootstrap import Ledger
from tests.integration.api_given import assert_problem, opened_api, submitted
from tests.integration.given import execute

APPEND = """
    INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at, actor,
                               correlation_id)
    SELECT gen_random_uuid(), 1, 'task.submitted', 1, 'bulk', 'bulk', jsonb_build_object('input', repeat('x', $2)),
           now(), 'bulk', 'bulk'
      FROM generate_series(1, $1::integer)
"""


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, search_events_max=300, search_bytes_max=20_000, port=0) as api:
        yield api


async def test_lines_of_json_are_what_the_log_shows(ledger: Ledger, client: httpx.AsyncClient) -> None:
    await execute(ledger, APPEND, 480, 10)
    await submitted(client, input={"ü": ["\n", "\u2028", 1.5]})

    export = await client.get("/events/export")
    log = (await client.get("/events", params={"limit": 500})).json()["events"]
    log += (await client.get("/events", params={"limit": 500, "after": log[-1]["position"]})).json()["events"]

    assert export.headers["content-type"] == "application/x-ndjson"
    assert export.headers["content-disposition"] == 'attachment; filename="events.ndjson"'
    assert export.headers["ledger-position"] == "481"
    assert [json.loads(line) for line in export.content.split(b"\n")[:-1]] == log
    assert len(log) == 481


async def test_csv_quotes_as_rfc_4180_says_and_alters_no_cell(client: httpx.AsyncClient) -> None:
    task_id = await submitted(client, input='=HYPERLINK("x"),\r\n"quoted"')
    await client.post(f"/tasks/{task_id}/cancel", json={"reason": '=1+1, "he said"\r\n@x'})

    export = await client.get("/events/export?format=csv")

    assert export.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    header, submission, cancellation = csv.reader(io.StringIO(export.text, newline=""), strict=True)
    assert tuple(header) == COLUMNS
    events = (await client.get("/events")).json()["events"]
    for row, event in zip((submission, cancellation), events, strict=True):
        cells = dict(zip(header, row, strict=True))
        assert json.loads(cells.pop("data")) == event.pop("data")
        reason = cells.pop("reason")
        assert cells == {name: "" if value is None else str(value) for name, value in event.items()}
    assert reason == '=1+1, "he said"\r\n@x'
    assert export.text.startswith(",".join(COLUMNS) + "\r\n")
    assert '"=1+1, ""he said""\r\n@x"' in export.text


async def test_empty_csv_has_its_header_and_empty_lines_of_json_nothing(client: httpx.AsyncClient) -> None:
    assert (await client.get("/events/export?format=csv")).text == ",".join(COLUMNS) + "\r\n"
    assert (await client.get("/events/export?format=ndjson")).text == ""


async def test_filters_and_positions_hold_for_an_export(ledger: Ledger, client: httpx.AsyncClient) -> None:
    await submitted(client, queue="mail")
    await execute(ledger, APPEND, 1000, 1)
    wanted = await submitted(client, queue="mail")

    export = await client.get("/events/export", params={"queue": "mail", "after": 1})

    assert [json.loads(line)["task_id"] for line in export.text.splitlines()] == [wanted]


async def test_what_is_appended_during_an_export_belongs_to_the_next_one(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    await execute(ledger, APPEND, 700, 1)
    async with serving(create_app(ledger), ledger.settings) as port, httpx.AsyncClient() as reader:
        async with reader.stream("GET", f"http://127.0.0.1:{port}/events/export") as export:
            lines = export.aiter_lines()
            first = json.loads(await anext(lines))
            await submitted(client)
            rest = [json.loads(line) async for line in lines]
        after = export.headers["ledger-position"]
        following = await reader.get(f"http://127.0.0.1:{port}/events/export", params={"after": after})

    assert [first["position"], *(event["position"] for event in rest)] == list(range(1, 701))
    assert [json.loads(line)["position"] for line in following.text.splitlines()] == [701]


async def test_a_client_that_goes_away_ends_its_export(ledger: Ledger) -> None:
    await execute(ledger, APPEND, 3000, 15_000)  # far more than the buffers of a socket hold
    app, sent, ended = create_app(ledger), 0, asyncio.Event()

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            nonlocal sent
            sent += len(message.get("body", b""))
            await send(message)

        await app(scope, receive, counted)
        ended.set()

    async with serving(watched, ledger.settings) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /events/export HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readexactly(200_000)
        writer.close()
        async with asyncio.timeout(20):
            await ended.wait()

    assert 150_000 < sent < 3000 * 15_000


async def test_database_that_refuses_in_the_middle_breaks_the_export_off(ledger: Ledger) -> None:
    await execute(ledger, APPEND, 3000, 15_000)
    async with (
        serving(create_app(ledger), ledger.settings) as port,
        httpx.AsyncClient() as reader,
        reader.stream("GET", f"http://127.0.0.1:{port}/events/export") as export,
    ):
        pieces = export.aiter_bytes()
        await anext(pieces)
        await execute(ledger, "ALTER TABLE ledger.events RENAME TO elsewhere")

        with pytest.raises(httpx.RemoteProtocolError):
            await _to_the_end(pieces)


async def _to_the_end(pieces: AsyncIterator[bytes]) -> None:
    async for _ in pieces:
        pass


async def test_no_more_exports_run_at_once_than_may_and_each_gives_its_place_back(database_url: str) -> None:
    async with opened_api(database_url, exports_max=1, search_bytes_max=20_000, port=0) as (ledger, _):
        await execute(ledger, APPEND, 3000, 15_000)
        app, ended = create_app(ledger), asyncio.Event()

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            finally:
                ended.set()

        async with (
            serving(watched, ledger.settings) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as reader,
        ):
            async with reader.stream("GET", "/events/export") as export:
                pieces = export.aiter_bytes()
                await anext(pieces)
                refused = await reader.get("/events/export")
                ended.clear()
            async with asyncio.timeout(20):
                await ended.wait()  # the client went away
            await execute(ledger, "ALTER TABLE ledger.events RENAME TO elsewhere")
            with pytest.raises(httpx.RemoteProtocolError):
                await reader.get("/events/export")
            await execute(ledger, "ALTER TABLE ledger.elsewhere RENAME TO events")
            admitted = await reader.get("/events/export", params={"after": 2990})

    assert_problem(refused, 503, "As many exports as may run at once are running already: 1 (LEDGER_EXPORTS_MAX)")
    assert refused.headers["retry-after"] == "1"
    assert admitted.status_code == 200
    assert len(admitted.text.splitlines()) == 10
