"""GET /tasks/{id}/explain of what a queue holds back: who paused it, which limit is full, who comes first."""

from datetime import datetime

import httpx
import pytest

from ledger.bootstrap import Ledger
from ledger.queues.admitter import Admitter
from ledger.task_words import HoldReason
from tests.integration.api_given import submitted
from tests.integration.given import caught_up, execute
from tests.integration.queues_given import held, permit


async def test_a_paused_task_says_who_paused_its_queue_and_why(client: httpx.AsyncClient, ledger: Ledger) -> None:
    task_id = await held(client, ledger, HoldReason.PAUSED)
    await client.post("/queues/mail/pause", json={"reason": "deploy"})

    (reason,) = await _because(client, task_id)
    await client.post("/queues/mail/resume")
    (resumed,) = await _because(client, task_id)

    assert (reason["code"], reason["actor"], reason["reason"]) == ("paused", "client", "deploy")
    assert resumed["code"] == "about_to_be_released"


async def test_a_task_over_a_limit_names_each_that_is_full(client: httpx.AsyncClient, ledger: Ledger) -> None:
    await client.put(
        "/queues/mail", json={"concurrency_max": 2, "key_concurrency_max": 1, "rate_max": 3, "rate_s": 60}
    )
    first = await held(client, ledger, HoldReason.LIMIT, key="acme")
    task_id = await held(client, ledger, HoldReason.LIMIT, key="acme")
    keyless = await held(client, ledger, HoldReason.LIMIT)
    await permit(ledger, key="acme", started_ago=50)
    await permit(ledger, key="zeta")
    await permit(ledger, key="zeta", started_ago=40, ended=True)
    await permit(ledger, key="zeta", started_ago=61, ended=True)
    await permit(ledger, key="zeta", ended=True)
    await caught_up(ledger)

    because = {one["code"]: one for one in await _because(client, task_id)}

    assert list(because) == ["concurrency_max", "key_concurrency_max", "rate", "behind_others"]
    assert because["concurrency_max"]["in_flight"] == 2
    assert because["key_concurrency_max"]["in_flight"] == 1
    assert because["rate"]["starts"] == 3
    assert await _seconds_until(ledger, because["rate"]["next_start_at"]) == pytest.approx(10, abs=5)
    assert because["behind_others"]["ahead"] == 1
    assert [one["code"] for one in await _because(client, first)] == list(because)[:3]
    assert [one["code"] for one in await _because(client, keyless)] == ["concurrency_max", "rate", "behind_others"]


async def test_a_held_task_is_explained_before_there_is_a_read_model(client: httpx.AsyncClient) -> None:
    await client.put("/queues/mail", json={"concurrency_max": 1, "fair": True})
    task_id = await submitted(client, queue="mail", key="acme")

    assert [one["code"] for one in await _because(client, task_id)] == ["limit_free"]


async def test_what_the_scheduler_lets_through_is_what_the_explanation_counts(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    await client.put("/queues/mail", json={"concurrency_max": 1})
    first, second = [await submitted(client, queue="mail") for _ in range(2)]
    await caught_up(ledger)

    about_to = await _because(client, first)
    assert await Admitter(ledger).run_once() == 1
    await caught_up(ledger)

    assert [one["code"] for one in about_to] == ["limit_free"]
    assert (await client.get(f"/tasks/{first}")).json()["ready"]
    assert [(one["code"], one["in_flight"]) for one in await _because(client, second)] == [("concurrency_max", 1)]
    assert (await client.get("/queues/mail")).json()["permits"] == 1


async def test_a_task_whose_tenant_has_had_its_share_names_who_comes_first(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    await client.put("/queues/mail", json={"fair": True})
    for tags in (["tenant:zeta"], ["tenant:rich"], []):
        await held(client, ledger, HoldReason.LIMIT, tags=tags)
    task_id = await held(client, ledger, HoldReason.LIMIT, tags=["tenant:acme"])
    shares = "INSERT INTO ledger.tenant_shares (queue, tenant, finish_time) VALUES ('mail', $1, $2)"
    for tenant, finish_time in (("acme", 5.0), ("rich", 9.0), ("zeta", 4.0)):
        await execute(ledger, shares, tenant, finish_time)
    await caught_up(ledger)

    (reason,) = await _because(client, task_id)

    assert (reason["code"], reason["tenants"]) == ("tenants_ahead", [None, "zeta"])


async def test_a_task_that_was_ready_before_its_queue_had_limits_says_what_awaits_it(
    client: httpx.AsyncClient,
) -> None:
    task_id = await submitted(client, queue="mail")
    await client.put("/queues/mail", json={"concurrency_max": 1})

    assert (await _because(client, task_id))[0]["code"] == "limits"


async def test_a_pause_holds_back_what_is_submitted_next_and_explains_what_was_ready(
    client: httpx.AsyncClient,
) -> None:
    before = await submitted(client, queue="mail")
    await client.post("/queues/mail/pause", json={"reason": "deploy"})
    after = await submitted(client, queue="mail")

    told = [[one["code"] for one in await _because(client, task_id)] for task_id in (before, after)]
    assert told == [["paused", "not_published", "no_worker"], ["paused"]]


async def _because(client: httpx.AsyncClient, task_id: str) -> list[dict[str, object]]:
    response = await client.get(f"/tasks/{task_id}/explain")
    assert response.status_code == 200, response.text
    because: list[dict[str, object]] = response.json()["because"]
    return because


async def _seconds_until(ledger: Ledger, moment: object) -> float:
    return (datetime.fromisoformat(str(moment)) - await ledger.store.database_time()).total_seconds()
