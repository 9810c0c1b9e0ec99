"""Below /workers: who lives, by what evidence, what each runs; one is drained and resumed, with who and why."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import httpx
import pytest

from ledger.bootstrap import Ledger
from tests.integration.api_given import UNKNOWN_ID, assert_problem, opened_api
from tests.integration.given import caught_up, execute, started, submitted
from worker.roster import Member, PostgresRoster, RunningAttempt

_LONG_AGO = "UPDATE ledger.workers SET beat_at = beat_at - interval '1 hour' WHERE worker_id = $1"


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, page_size_max=3) as api:
        yield api


@pytest.fixture
async def roster(ledger: Ledger) -> AsyncIterator[PostgresRoster]:
    async with AsyncExitStack() as stack:
        yield await _enrolled(ledger, stack, "crunch-7")


async def test_a_worker_is_shown_with_what_it_runs(client: httpx.AsyncClient, ledger: Ledger) -> None:
    async with AsyncExitStack() as stack:
        roster = await _enrolled(ledger, stack, "crunch-7")
        (task_id,) = await submitted(ledger, kind="mail.send", queue="mail")
        await started(ledger, task_id, worker_id=_id(roster))
        await roster.beat([RunningAttempt(task_id, 2)])
        await caught_up(ledger)

        listed = (await client.get("/workers", params={"queue": "mail"})).json()
        shown = (await client.get(f"/workers/{_id(roster)}")).json()

    assert listed == {"workers": [shown], "has_more": False}
    assert {name: shown[name] for name in ("name", "state", "evidence", "queues", "capacity", "running")} == {
        "name": "crunch-7", "state": "alive", "evidence": "alive", "queues": ["mail"], "capacity": 4, "running": 1,
    }  # fmt: skip
    assert [shown[name] for name in ("takes", "drained", "draining_since", "stopped_at")] == [
        True,
        False,
        None,
        None,
    ]
    (task,) = shown["tasks"]
    assert {**task, "since": ""} == {
        "task_id": str(task_id), "kind": "mail.send", "queue": "mail", "attempt": 1, "since": "",
    }  # fmt: skip


async def test_who_is_gone_is_shown_with_the_evidence_and_after_those_that_live(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    async with AsyncExitStack() as stack:
        stopped, silent, killed, _alive = [await _enrolled(ledger, stack, name) for name in "abcd"]
        await stopped.leave()
        await execute(ledger, _LONG_AGO, _id(silent))
        await killed.close()
        await execute(ledger, _LONG_AGO, _id(killed))

        pages = [
            (await client.get("/workers", params=params)).json()
            for params in ({}, {"state": ["silent", "stopped"]}, {"queue": "other"})
        ]

    names = [[one["name"] for one in page["workers"]] for page in pages]
    evidence = {one["name"]: (one["state"], one["evidence"]) for page in pages for one in page["workers"]}
    assert names == [["d", "c", "b"], ["c", "b", "a"], []]
    assert [page["has_more"] for page in pages] == [True, False, False]
    assert evidence["a"] == ("stopped", "stopped")
    assert evidence["b"] == ("silent", "lease")
    assert evidence["c"][0] == "silent"
    assert evidence["d"] == ("alive", "alive")


async def test_a_worker_is_drained_and_resumed_and_both_are_kept(
    client: httpx.AsyncClient, roster: PostgresRoster
) -> None:
    path = f"/workers/{_id(roster)}"

    asked = (await client.post(f"{path}/drain", json={"reason": "deploy"})).json()
    heard = await roster.beat([])
    await roster.beat([], takes=False)
    drained = (await client.get(path)).json()
    again = await client.post(f"{path}/drain")
    resumed = (await client.post(f"{path}/resume")).json()
    after = await roster.beat([])
    first = (await client.get(f"{path}/changes", params={"limit": 1})).json()
    rest = (await client.get(f"{path}/changes", params={"before": first["next_before"]})).json()

    assert (asked["state"], asked["takes"], asked["drained"]) == ("draining", True, False)
    assert (heard.draining, after.draining) == (True, False)
    assert (drained["state"], drained["drained"], again.json()["state"]) == ("draining", True, "draining")
    assert (resumed["state"], resumed["draining_since"]) == ("alive", None)
    told = [(one["change"], one["reason"]) for one in (*first["changes"], *rest["changes"])]
    assert told == [("resumed", ""), ("draining", "deploy")]
    assert rest["next_before"] is None


async def test_a_queue_that_only_drained_workers_serve_has_no_live_workers(
    client: httpx.AsyncClient, roster: PostgresRoster
) -> None:
    await client.post(f"/workers/{_id(roster)}/drain")

    assert (await client.get("/queues/mail")).json()["live_workers"] == 0


async def test_what_cannot_be_asked_of_a_worker_is_refused(
    client: httpx.AsyncClient, roster: PostgresRoster
) -> None:
    await roster.leave()

    for name in ("drain", "resume"):
        assert_problem(await client.post(f"/workers/{_id(roster)}/{name}"), 409, "nothing can be asked of worker")
        assert_problem(await client.post(f"/workers/{UNKNOWN_ID}/{name}"), 404, "Worker not found")
        assert_problem(await client.post(f"/workers/nonsense/{name}"), 400, "Invalid Worker ID format")
        body = {"reason": "x" * 1001}
        assert_problem(await client.post(f"/workers/{_id(roster)}/{name}", json=body), 400, "Invalid request body")
    assert_problem(await client.get(f"/workers/{UNKNOWN_ID}"), 404, "Worker not found")
    for query in ("state=dead", "limit=4", "limit=0", "queue=NO", "colour=red"):
        assert_problem(await client.get(f"/workers?{query}"), 400, "Invalid request query")


async def _enrolled(ledger: Ledger, stack: AsyncExitStack, name: str) -> PostgresRoster:
    member = Member(worker_id=uuid4(), name=name, queues=("mail",), capacity=4)
    roster = PostgresRoster(ledger.database, member, beat_seconds_max=5)
    stack.push_async_callback(roster.close)
    await roster.beat([])
    return roster


def _id(roster: PostgresRoster) -> UUID:
    return roster._member.worker_id  # noqa: SLF001 - the port has no such question
