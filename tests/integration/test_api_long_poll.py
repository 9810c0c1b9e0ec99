"""`Prefer: wait`: a client is answered when its task changes, and waiting is cheap, bounded and ends in time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import pytest

from api.app import create_app
from api.server import serving
from ledger.bootstrap import Ledger, open_ledger
from ledger.settings import load_settings
from ledger.store.records import Origin
from tests.integration.api_given import assert_problem, opened_api, submitted
from tests.integration.given import caught_up, eventually, fetch, started

LONG = {"Prefer": "wait=20"}
AT_ONCE_SECONDS = 5.0
LISTENERS = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'
"""


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, poll_interval_seconds=0.05) as api:
        yield api


@pytest.mark.parametrize("view", ["", "/status"])
async def test_a_change_is_answered_at_once_however_far_behind_the_read_model_is(
    client: httpx.AsyncClient, ledger: Ledger, view: str
) -> None:
    task_id = await submitted(client)
    await caught_up(ledger)
    known = (await client.get(f"/tasks/{task_id}{view}")).headers["etag"]

    async with asyncio.timeout(AT_ONCE_SECONDS), asyncio.TaskGroup() as group:
        by_tag = group.create_task(client.get(f"/tasks/{task_id}{view}", headers={**LONG, "If-None-Match": known}))
        by_version = group.create_task(client.get(f"/tasks/{task_id}{view}?since_version=1", headers=LONG))
        by_nothing = group.create_task(client.get(f"/tasks/{task_id}{view}", headers=LONG))
        await _waited_for(ledger)
        await started(ledger, UUID(task_id))

    for answer in (by_tag.result(), by_version.result(), by_nothing.result()):
        assert (answer.status_code, answer.json()["status"]) == (200, "RUNNING")
        assert answer.headers["preference-applied"] == "wait=20"
        assert answer.headers["etag"] == f'"{task_id}-2"'


async def test_progress_changes_a_task_but_not_its_status(client: httpx.AsyncClient, ledger: Ledger) -> None:
    task_id = await submitted(client)
    await started(ledger, UUID(task_id))
    path = f"/tasks/{task_id}"

    async with asyncio.timeout(AT_ONCE_SECONDS), asyncio.TaskGroup() as group:
        shown = group.create_task(client.get(f"{path}?since_version=2", headers=LONG))
        status = group.create_task(client.get(f"{path}/status?since_version=2", headers=LONG))
        await _waited_for(ledger)
        await _progress(ledger, task_id)
        await asyncio.wait({shown})
        still_waits = not status.done()
        await _complete(ledger, task_id)

    assert shown.result().json()["progress"] == 0.5
    assert still_waits
    assert status.result().json()["status"] == "COMPLETED"


@pytest.mark.parametrize("known", ["If-None-Match", "since_version", "older"])
async def test_what_is_news_already_is_not_waited_for(
    client: httpx.AsyncClient, ledger: Ledger, known: str
) -> None:
    task_id = await submitted(client)
    tag = (await client.get(f"/tasks/{task_id}")).headers["etag"]
    await started(ledger, UUID(task_id))
    headers = {**LONG, "If-None-Match": tag} if known == "If-None-Match" else LONG
    version = {"since_version": {"since_version": 1}, "older": {"since_version": 99}}.get(known, {})

    async with asyncio.timeout(AT_ONCE_SECONDS):
        answer = await client.get(f"/tasks/{task_id}/status", headers=headers, params=version)

    assert (answer.status_code, answer.json()["status"]) == (200, "RUNNING")


async def test_a_finished_task_has_nothing_to_wait_for(client: httpx.AsyncClient, ledger: Ledger) -> None:
    task_id = await submitted(client)
    await started(ledger, UUID(task_id))
    await _complete(ledger, task_id)

    async with asyncio.timeout(AT_ONCE_SECONDS):
        answer = await client.get(f"/tasks/{task_id}/status", headers=LONG)

    assert answer.json()["status"] == "COMPLETED"


async def test_when_the_time_is_over_the_client_is_told_that_nothing_changed(database_url: str) -> None:
    async with opened_api(database_url, wait_seconds_max=0.05) as (_, client):
        task_id = await submitted(client)
        known = (await client.get(f"/tasks/{task_id}/status")).headers["etag"]

        by_tag = await client.get(f"/tasks/{task_id}/status", headers={**LONG, "If-None-Match": known})
        by_version = await client.get(f"/tasks/{task_id}/status?since_version=1", headers=LONG)

    assert (by_tag.status_code, by_tag.headers["preference-applied"]) == (304, "wait=0.05")
    assert (by_version.status_code, by_version.json()["status"]) == (200, "PENDING")


@pytest.mark.parametrize("preference", ["wait=soon", "wait=-1", "respond-async", "wait", "x=1; wait=20"])
async def test_a_preference_that_is_not_understood_is_ignored(client: httpx.AsyncClient, preference: str) -> None:
    task_id = await submitted(client)

    async with asyncio.timeout(AT_ONCE_SECONDS):
        answer = await client.get(f"/tasks/{task_id}/status", headers={"Prefer": preference})

    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers


async def test_all_who_wait_share_one_reader_of_the_log(client: httpx.AsyncClient, ledger: Ledger) -> None:
    task_ids = [await submitted(client) for _ in range(10)]

    async with asyncio.timeout(AT_ONCE_SECONDS), asyncio.TaskGroup() as group:
        answers = [
            group.create_task(client.get(f"/tasks/{task_id}/status", headers=LONG))
            for task_id in task_ids
            for _ in range(5)
        ]
        await _waited_for(ledger)
        listeners = (await fetch(ledger, LISTENERS))[0]["count"]
        for task_id in task_ids:
            await started(ledger, UUID(task_id))

    assert listeners == 1
    assert {answer.result().json()["status"] for answer in answers} == {"RUNNING"}
    await eventually(lambda: _listeners_are(ledger, 0), what="nobody listens any more")


async def test_whoever_finds_no_place_to_wait_is_told_to_come_again(database_url: str) -> None:
    async with opened_api(database_url, waits_max=1) as (ledger, client):
        task_id = await submitted(client)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(client.get(f"/tasks/{task_id}/status", headers=LONG))
            await _waited_for(ledger)

            second = await client.get(f"/tasks/{task_id}/status", headers=LONG)
            plain = await client.get(f"/tasks/{task_id}/status")
            await started(ledger, UUID(task_id))

    assert_problem(second, 503, "As many as may wait at once are waiting already: 1 (LEDGER_WAITS_MAX)")
    assert second.headers["retry-after"] == "1"
    assert (plain.status_code, first.result().status_code) == (200, 200)


async def test_a_client_that_goes_away_frees_its_place(database_url: str) -> None:
    async with _served(database_url, waits_max=1) as (ledger, client):
        task_id = await submitted(client)
        leaving = asyncio.create_task(client.get(f"/tasks/{task_id}/status", headers=LONG))
        await _waited_for(ledger)

        leaving.cancel()
        await eventually(lambda: _listeners_are(ledger, 0), what="nobody listens any more")

        staying = asyncio.create_task(client.get(f"/tasks/{task_id}/status", headers=LONG))
        await _waited_for(ledger)
        await started(ledger, UUID(task_id))
        assert (await staying).json()["status"] == "RUNNING"


async def test_a_server_that_stops_answers_those_who_wait(database_url: str) -> None:
    async with asyncio.timeout(AT_ONCE_SECONDS):
        async with _served(database_url) as (ledger, client):
            task_id = await submitted(client)
            known = {"If-None-Match": f'"{task_id}-1"'}
            waiting = asyncio.create_task(client.get(f"/tasks/{task_id}/status", headers={**LONG, **known}))
            await _waited_for(ledger)
        answer = await waiting

    assert answer.status_code == 304


@asynccontextmanager
async def _served(url: str, **settings: object) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    configured = load_settings(database_url=url, port=0, poll_interval_seconds=0.05, **settings)
    async with (
        open_ledger(configured) as ledger,
        httpx.AsyncClient() as client,
        serving(create_app(ledger), configured) as port,
    ):
        client.base_url = httpx.URL(f"http://127.0.0.1:{port}")
        yield ledger, client


async def _waited_for(ledger: Ledger) -> None:
    await eventually(lambda: _listeners_are(ledger, 1), what="somebody listens")


async def _listeners_are(ledger: Ledger, count: int) -> bool:
    return bool((await fetch(ledger, LISTENERS))[0]["count"] == count)


async def _progress(ledger: Ledger, task_id: str) -> None:
    await ledger.commands.decide(
        UUID(task_id),
        lambda task: task.report_progress(attempt=1, fraction=0.5, message="half", now=ledger.clock.now()),
        origin=Origin(actor="worker"),
    )


async def _complete(ledger: Ledger, task_id: str) -> None:
    await ledger.commands.decide(
        UUID(task_id),
        lambda task: task.complete(attempt=1, result=None, now=ledger.clock.now()),
        origin=Origin(actor="worker"),
    )
