"""The pages of what leaves: months in files, what is erased by a tag, and a task whose payload is gone."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from ledger.access.api_key import ApiKey, Scope
from ledger.access.commands import create_key
from ledger.archive.detach import detach
from ledger.bootstrap import Ledger
from ledger.payloads.erasure import Erasure
from ledger.payloads.orders import ErasureChore, ErasureOrders
from ledger.store.records import Origin
from tests.integration.api_given import UNKNOWN_ID, client_of, opened_api, page
from tests.integration.archives_given import MAY, aged_ledger
from tests.integration.erasure_given import MARKER, SETTINGS
from tests.integration.given import CLIENT, caught_up, submitted

ATTACK = '<script>alert("x")</script>'
ANN = Origin(actor="user:ann")
BUTTON = "Erase it for good"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, **SETTINGS) as api:
        yield api


async def cancelled(ledger: Ledger, *, erasable: bool = True, tags: tuple[str, ...] = ()) -> UUID:
    """Submit a task with the marker in its input, and finish it."""
    [task_id] = await submitted(ledger, input=MARKER, erasable=erasable, tags=tags)
    await ledger.commands.cancel(task_id, reason="", origin=CLIENT)
    await caught_up(ledger)
    return task_id


async def test_a_finished_erasable_task_can_be_erased_and_then_says_by_whom(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    task_id = await cancelled(ledger)
    before = await page(client, f"/ui/tasks/{task_id}")
    await Erasure(ledger).erase(task_id, reason=ATTACK, origin=ANN)

    after = await page(client, f"/ui/tasks/{task_id}")

    assert f'data-api="POST tasks/{task_id}/erase"' in before
    assert "What goes, for good" in before
    assert "What stays" in before
    assert MARKER in before
    assert MARKER not in after
    assert "Erased by user:ann at" in after
    assert "&lt;script&gt;alert" in after
    assert [word in after for word in (BUTTON, "/retry", "<script>alert")] == [False] * 3


async def test_what_cannot_be_erased_offers_no_erasure(ledger: Ledger, client: httpx.AsyncClient) -> None:
    clear = await cancelled(ledger, erasable=False)
    [waiting] = await submitted(ledger, erasable=True)
    finished = await cancelled(ledger)
    reader = ApiKey(name="reader", scopes=frozenset({Scope.READ, Scope.OPERATE}))

    offered = [BUTTON in await page(client, f"/ui/tasks/{one}") for one in (clear, waiting, finished)]
    token = await create_key(ledger.database, reader, actor="test")
    async with client_of(ledger) as another:
        another.headers["Authorization"] = f"Bearer {token}"
        offered.append(BUTTON in await page(another, f"/ui/tasks/{finished}"))

    assert offered == [False, False, True, False]


async def test_an_erasure_by_tag_is_followed_from_its_order_to_the_task(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    task_id = await cancelled(ledger, tags=("customer:1",))
    await submitted(ledger, erasable=True, tags=("customer:1",))
    order = await ErasureOrders(ledger).begin("customer:1", reason=ATTACK, origin=ANN)
    running = await page(client, f"/ui/erasures/{order.order_id}")
    await ErasureChore(ledger).run_once()

    listed = await page(client, "/ui/archives")
    done = await page(client, f"/ui/erasures/{order.order_id}")
    task = await page(client, f"/ui/tasks/{task_id}")

    assert "The scheduler works it off." in running
    assert f'href="../ui/erasures/{order.order_id}"' in listed
    assert "1 of 2, 1 left alone, unfinished" in listed
    assert "order the erasure again" in done
    assert f'href="../../ui/erasures/{order.order_id}"' in task
    assert [text for text in (running, listed, done, task) if "<script>alert" in text] == []
    assert "Erasure not found" in await page(client, f"/ui/erasures/{UNKNOWN_ID}", 404)
    assert "Invalid Erasure ID" in await page(client, "/ui/erasures/nonsense", 400)


async def test_only_whoever_may_erase_finds_the_form(ledger: Ledger, client: httpx.AsyncClient) -> None:
    open_to_all = await page(client, "/ui/archives")
    key = ApiKey(name="reader", scopes=frozenset({Scope.READ, Scope.OPERATE}))
    token = await create_key(ledger.database, key, actor="test")
    async with client_of(ledger) as another:
        another.headers["Authorization"] = f"Bearer {token}"
        reader = await page(another, "/ui/archives")

    assert 'data-api="POST erasures"' in open_to_all
    assert 'data-api="POST erasures"' not in reader
    assert "Every month is in the log." in reader


async def test_a_month_that_left_the_log_is_shown_with_its_file(database_url: str, tmp_path: Path) -> None:
    async with aged_ledger(database_url) as (ledger, tasks), client_of(ledger) as client:
        await detach(ledger, MAY, directory=tmp_path, actor="user:ann")
        (archive,) = (await client.get("/archives")).json()["archives"]

        text = await page(client, "/ui/archives")
        task = await page(client, f"/ui/tasks/{tasks[0]}")

        assert '<tr id="2024-05">' in text
        assert [archive[name] in text for name in ("file", "file_sha256", "archived_by")] == [True] * 3
        assert '<span class="status detached">detached</span>' in text
        assert BUTTON not in task
