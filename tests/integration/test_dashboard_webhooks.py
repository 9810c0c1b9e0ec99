"""The pages of the webhooks: where each stands, what was sent, what may be done, and never a secret."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from ledger.access.api_key import ApiKey, Scope
from ledger.access.commands import create_key
from ledger.bootstrap import Ledger
from ledger.webhooks.commands import Webhooks
from ledger.webhooks.dispatcher import Dispatcher
from tests.integration.api_given import client_of, opened_api, page
from tests.integration.given import submitted
from tests.integration.webhooks_given import ANN, TEST_SETTINGS, endpoint, found, receiving

ATTACK = '<script>alert("x")</script>'


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, **TEST_SETTINGS) as api:
        yield api


async def test_a_webhook_shows_where_it_stands_and_each_try(ledger: Ledger, client: httpx.AsyncClient) -> None:
    [task_id] = await submitted(ledger)
    async with receiving() as receiver:
        kept = await endpoint(ledger, receiver.url, types=("task.submitted",))
        receiver.will_answer(500, body=ATTACK)
        for _ in range(2):
            await Dispatcher(ledger).run_once()
        position = (await found(ledger)).position

    listed = await page(client, "/ui/webhooks")
    shown = await page(client, "/ui/webhooks/hook")
    failed = await page(client, "/ui/webhooks/hook?outcome=failed")

    assert kept.secret is not None
    assert [kept.secret in text for text in (listed, shown, failed)] == [False] * 3
    assert f"<code>{receiver.url}</code>" in listed
    assert "<code>types submitted</code>" in listed
    assert "It has got all that it wants." in shown
    assert f"<b>{position}</b> position" in shown
    assert ">delivered<" in shown
    assert f'href="../../ui/tasks/{task_id}">{task_id}:1</a>' in failed
    assert '<td class="number">500</td>' in failed
    assert "&lt;script&gt;alert" in failed
    assert "<script>alert" not in failed
    assert failed.count("/redeliver") == 1


async def test_the_event_that_a_webhook_stumbles_over_is_the_one_to_skip(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    [task_id] = await submitted(ledger)
    async with receiving() as receiver:
        await endpoint(ledger, receiver.url)
        receiver.will_answer(500)
        await Dispatcher(ledger).run_once()

    assert f'value="{task_id}:1"' in await page(client, "/ui/webhooks/hook")
    await Webhooks(ledger).skip("hook", f"{task_id}:1", reason=ATTACK, origin=ANN)
    after = await page(client, "/ui/webhooks/hook")

    assert f'value="{task_id}:1"' not in after
    assert "<td>skipped</td><td>user:ann</td>" in after
    assert "<script>alert" not in after


async def test_a_long_log_goes_on_and_no_webhook_is_a_page_too(ledger: Ledger, client: httpx.AsyncClient) -> None:
    await submitted(ledger, count=51)
    async with receiving() as receiver:
        await endpoint(ledger, receiver.url)
        while await Dispatcher(ledger).run_once():
            pass

    first = await page(client, "/ui/webhooks/hook")
    [older] = re.findall(r'rel="next" href="([^"]+)"', first)
    second = await page(client, f"/ui/webhooks/hook{older}")

    assert (first.count(">delivered</span>"), second.count(">delivered</span>")) == (50, 1)
    assert "there is no webhook &#39;none&#39;" in await page(client, "/ui/webhooks/none", 404)
    assert "outcome" in await page(client, "/ui/webhooks/hook?outcome=nonsense", 400)


async def test_a_page_offers_what_the_key_may_do(ledger: Ledger) -> None:
    async with receiving() as receiver:
        await endpoint(ledger, receiver.url)
    offers = {}
    for scope in (Scope.READ, Scope.OPERATE, Scope.ADMIN):
        key = ApiKey(name=scope.value, scopes=frozenset({Scope.READ, scope}))
        header = {"Authorization": f"Bearer {await create_key(ledger.database, key, actor='test')}"}
        async with client_of(ledger) as client:
            text = (await client.get("/ui/webhooks/hook", headers=header)).text
        offers[scope] = [act in text for act in ("hook/pause", "hook/test", "hook/rotate", "PUT webhooks/hook")]

    assert offers == {
        Scope.READ: [False, False, False, False],
        Scope.OPERATE: [True, True, False, False],
        Scope.ADMIN: [True, True, True, True],
    }
