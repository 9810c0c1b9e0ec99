"""What an erasable task holds is never anywhere in clear, and after an erasure nobody reads it: all else stays."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import orjson
import pytest

from api.app import create_app
from api.server import serving
from ledger.bootstrap import Ledger, open_ledger
from ledger.doctor import examine
from ledger.errors import StoreRefusedError
from ledger.payloads.erasure import Erasure
from ledger.payloads.orders import ErasureChore, ErasureOrders
from ledger.payloads.rewrapping import rewrap
from ledger.seals.sealer import Sealer
from ledger.seals.verification import Verifier
from ledger.settings import load_settings
from ledger.specification import TaskSpecification
from ledger.store.records import StaleWrite
from projections.rebuild import rebuild
from projections.task_status import TASK_STATUS
from projections.verify import verify
from tests.integration.api_given import UNKNOWN_ID, assert_problem, opened_api
from tests.integration.erasure_given import (
    MARKER,
    SECRET,
    SETTINGS,
    ListeningBroker,
    finished,
    places_of,
    ran,
    working,
)
from tests.integration.given import CLIENT, caught_up, execute, fetch, opened, submitted, types_of
from tests.integration.sse import event_source

ERASED = {"$erased": True}


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, **SETTINGS) as api:
        yield api


async def surfaces(client: httpx.AsyncClient, task_id: UUID) -> dict[str, str]:
    """Return what each read of the API says of a task and of the log."""
    begin = "2026-01-01T00:00:00Z"
    paths = (
        f"/tasks/{task_id}",
        f"/tasks/{task_id}/status",
        f"/tasks/{task_id}/events",
        f"/tasks/{task_id}?as_of_version=1",
        f"/tasks/{task_id}/diff?from={begin}",
        f"/tasks/{task_id}/explain",
        "/events",
        "/events/export",
        "/events/export?format=csv",
        "/audit",
        "/dead-letters",
    )
    answers = {path: await client.get(path) for path in paths}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(paths, 200)
    return {path: answer.text for path, answer in answers.items()}


async def test_a_payload_is_in_clear_nowhere_and_read_by_everybody_until_it_is_erased(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    broker = ListeningBroker()
    said, failed, apart = await ran(ledger, broker, "say", "fail", "apart")
    await caught_up(ledger)
    await Sealer(ledger).run_once()
    counted = (await client.get("/ledger")).json()["by_status"]
    before = {task_id: await surfaces(client, task_id) for task_id in (said, failed)}
    etag = (await client.get(f"/tasks/{said}")).headers["ETag"]

    assert {path for path, text in before[said].items() if MARKER not in text} == {f"/tasks/{said}/explain"}
    assert MARKER in (await client.get(f"/dead-letters/{failed}")).text
    assert f"ValueError: {MARKER}" in before[failed][f"/tasks/{failed}/explain"]
    assert (await client.get(f"/tasks/{said}/status")).json()["result"] == {"greeting": f"hello {MARKER}"}
    assert MARKER not in (await client.get("/events/export?ciphertext=true")).text
    assert len(broker.heard) > 0
    assert not [body for body in broker.heard if MARKER.encode() in body]
    assert await places_of(ledger, MARKER) == []
    assert await places_of(ledger, SECRET) == []

    for task_id in (said, failed, apart):
        answer = await client.post(f"/tasks/{task_id}/erase", json={"reason": "asked to be forgotten"})
        assert (answer.status_code, answer.json()["task_id"]) == (202, str(task_id))
    for is_folded in (False, True):
        if is_folded:
            await caught_up(ledger)
        for task_id in (said, failed):
            shown = await surfaces(client, task_id)
            assert not [path for path, text in shown.items() if MARKER in text or "v1." in text]
        assert MARKER not in (await client.get(f"/dead-letters/{failed}")).text
        task = (await client.get(f"/tasks/{said}")).json()
        assert (task["status"], task["input"], task["result"]) == ("COMPLETED", ERASED, ERASED)
        assert (await client.get(f"/tasks/{failed}/status")).json()["result"] == ERASED
        assert (await client.get(f"/tasks/{failed}")).json()["error"] == {"type": "ValueError", **ERASED}

    assert (await client.get(f"/tasks/{said}", headers={"If-None-Match": etag})).status_code == 200
    assert (await client.get("/ledger")).json()["by_status"] == counted
    await Sealer(ledger).run_once()
    assert (await Verifier(ledger).verify()).difference is None
    assert await verify(ledger, TASK_STATUS) == []
    await rebuild(ledger, TASK_STATUS)
    assert await verify(ledger, TASK_STATUS) == []
    assert await examine(ledger) == []


async def test_an_erasure_says_who_when_and_why_and_happens_once(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    [task_id] = await ran(ledger, ListeningBroker(), "echo")

    first, second = [
        await client.post(f"/tasks/{task_id}/erase", json={"reason": "forget"}, headers={"X-Actor": "ann"})
        for _ in range(2)
    ]

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert await types_of(ledger, task_id) == ["submitted", "started", "completed", "erased"]
    [(reason,)] = await fetch(ledger, "SELECT reason FROM ledger.erasures WHERE task_id = $1", task_id)
    assert reason == "forget"
    assert await fetch(ledger, "SELECT FROM ledger.payload_keys") == []


async def test_what_is_unfinished_in_clear_or_unknown_is_refused(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    [waiting] = await submitted(ledger, erasable=True)
    [clear] = await submitted(ledger, input=MARKER)
    assert [place for place in await places_of(ledger, MARKER) if place.endswith(".data")]  # a look that finds
    await ledger.commands.cancel(clear, reason="", origin=CLIENT)

    assert_problem(
        await client.post(f"/tasks/{waiting}/erase"), 409, f"cannot erase task {waiting}: it is PENDING"
    )
    assert_problem(
        await client.post(f"/tasks/{clear}/erase"),
        409,
        f"cannot erase task {clear}: it is CANCELLED: its payload was never encrypted",
    )
    assert_problem(await client.post(f"/tasks/{UNKNOWN_ID}/erase"), 404, "Task not found")
    assert_problem(await client.post("/tasks/7/erase"), 400, "Invalid Task ID")
    assert_problem(await client.post(f"/tasks/{waiting}/erase", json={"why": 1}), 400, "")
    assert_problem(await client.post("/erasures", json={"reason": "no tag"}), 400, "")
    assert_problem(await client.post("/erasures", json={"tag": ""}), 400, "")
    assert_problem(await client.get(f"/erasures/{UNKNOWN_ID}"), 404, "Erasure not found")


async def test_an_erased_task_is_not_driven_again(ledger: Ledger, client: httpx.AsyncClient) -> None:
    [task_id] = await ran(ledger, ListeningBroker(), "fail")
    await Erasure(ledger).erase(task_id, reason="", origin=CLIENT)

    refused = await client.post(f"/tasks/{task_id}/retry")

    assert_problem(refused, 409, f"cannot retry task {task_id}: it is FAILED: its input was erased")


async def test_an_erased_task_still_explains_who_cancelled_it_and_why(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    [task_id] = await submitted(ledger, erasable=True)
    await ledger.commands.cancel(task_id, reason="called off", origin=CLIENT)
    await Erasure(ledger).erase(task_id, reason="", origin=CLIENT)

    explained = (await client.get(f"/tasks/{task_id}/explain")).json()

    assert explained["summary"].startswith("client cancelled it at ")
    assert explained["summary"].endswith(": called off.")


async def test_without_a_secret_an_erasable_submit_is_refused_by_name(database_url: str) -> None:
    async with opened_api(database_url) as (ledger, client):
        refused = await client.post("/tasks", json={"input": MARKER, "erasable": True})
        batch = await client.post("/tasks/batch", json=[{"input": MARKER, "erasable": True}])

        sentence = "erasable must be false while LEDGER_PAYLOAD_SECRET is not set, got True"
        assert_problem(refused, 400, f"Invalid request body: {sentence}")
        assert "LEDGER_PAYLOAD_SECRET" in batch.text
        assert await fetch(ledger, "SELECT FROM ledger.events") == []


async def test_every_way_in_keeps_the_key_with_the_task(database_url: str) -> None:
    async with opened_api(database_url, **SETTINGS, erasable="all") as (ledger, client):
        plain = await client.post("/tasks", json={"input": MARKER})
        keyed = [
            await client.post("/tasks", json={"input": MARKER}, headers={"Idempotency-Key": "7"}) for _ in range(2)
        ]
        batch = await client.post("/tasks/batch", json=[{"input": MARKER}, {"input": MARKER, "tags": ["a", "b"]}])
        specification = TaskSpecification(input=MARKER)
        async with ledger.database.connection() as connection:
            for ending in ("COMMIT", "ROLLBACK"):
                transaction = connection.transaction()
                await transaction.start()
                await ledger.commands.submit(specification, origin=CLIENT, connection=connection)
                await (transaction.commit() if ending == "COMMIT" else transaction.rollback())

        assert [answer.status_code for answer in (plain, *keyed, batch)] == [202] * 4
        counts = await fetch(
            ledger,
            "SELECT (SELECT count(*) FROM ledger.events), (SELECT count(*) FROM ledger.payload_keys), "
            "(SELECT tags FROM ledger.payload_keys WHERE tags <> '{}')",
        )
        assert [tuple(row) for row in counts] == [(5, 5, ["a", "b"])]
        assert await places_of(ledger, MARKER) == []
        assert await examine(ledger) == []


async def test_a_worker_without_the_secret_fails_the_attempt_and_says_what_it_lacks(database_url: str) -> None:
    async with opened(database_url, **SETTINGS) as ledger:
        [task_id] = await submitted(ledger, kind="echo", input={"name": MARKER}, erasable=True, max_attempts=1)
    async with opened(database_url) as ledger, working(ledger, ListeningBroker()):
        await finished(ledger, task_id)

        error = (await ledger.commands.load(task_id)).error or {}
        assert error["type"] == "PayloadKeyMissingError"
        assert "LEDGER_PAYLOAD_SECRET lacks the secret" in str(error["message"])
        assert await places_of(ledger, MARKER) == []


async def test_whoever_has_another_secret_reads_ciphertext(database_url: str) -> None:
    async with opened(database_url, **SETTINGS) as ledger:
        [task_id] = await ran(ledger, ListeningBroker(), "echo")
    async with opened_api(database_url, payload_secret="x" * 40) as (_, client):
        task = (await client.get(f"/tasks/{task_id}")).json()

        assert list(task["input"]) == ["$encrypted"]


async def test_a_late_write_is_sealed_as_well(ledger: Ledger, client: httpx.AsyncClient) -> None:
    [task_id] = await ran(ledger, ListeningBroker(), "echo")
    cipher = await ledger.vault.cipher_of(task_id)
    late = orjson.dumps({"attempt": 1, "result": cipher.seal("result", MARKER)}).decode()
    now = ledger.clock.now()
    await ledger.store.record_stale_write(StaleWrite(task_id, "task.completed", 1, 2, "COMPLETED", "w", late, now))

    before = (await client.get(f"/tasks/{task_id}")).json()["stale_writes"]
    await client.post(f"/tasks/{task_id}/erase")
    after = (await client.get(f"/tasks/{task_id}")).json()["stale_writes"]

    assert [write["data"]["result"] for write in (*before, *after)] == [MARKER, ERASED]


async def test_what_looks_sealed_and_never_was_is_shown_as_it_is(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    pretended = {"$encrypted": "v1.AAAA"}
    [clear] = await submitted(ledger, input=pretended)
    [erasable] = await submitted(ledger, input=pretended, erasable=True)

    assert (await client.get(f"/tasks/{clear}")).json()["input"] == pretended
    assert (await client.get(f"/tasks/{erasable}")).json()["input"] == pretended


async def test_a_tag_is_erased_round_by_round_whoever_is_killed_in_between(database_url: str) -> None:
    async with opened_api(database_url, **SETTINGS, erase_batch_size_max=2) as (ledger, client):
        broker = ListeningBroker()
        tasks = await ran(ledger, broker, *["echo"] * 5, tags=("customer:1",))
        [other] = await ran(ledger, broker, "echo", tags=("customer:2",))
        [waiting] = await submitted(ledger, erasable=True, tags=("customer:1",), queue="elsewhere")
        dry = (await client.post("/erasures", json={"tag": "customer:1"})).json()
        ordered = await client.post("/erasures", json={"tag": "customer:1", "reason": "forget", "dry_run": False})
        [late] = await ran(ledger, broker, "echo", tags=("customer:1",))
        where = ordered.headers["Location"]
        orders, chore = ErasureOrders(ledger), ErasureChore(ledger)
        order = await orders.find(UUID(ordered.json()["erasure_id"]))

        # One that is killed has erased its tasks, and has not noted how far it came.
        await Erasure(ledger).erase(tasks[0], reason="forget", origin=order.origin, order_id=order.order_id)
        rounds = [await chore.run_once()]
        await chore.go_on(order)  # another scheduler, with an older view
        rounds += [await chore.run_once() for _ in range(4)]
        shown = (await client.get(where)).json()

        assert (dry["count"], ordered.status_code, ordered.json()["found"]) == (6, 202, 6)
        assert rounds[-1] == 0
        assert (shown["state"], shown["erased"], shown["unfinished"]) == ("done", 5, 1)
        left = await fetch(ledger, "SELECT task_id FROM ledger.payload_keys ORDER BY task_id")
        assert {row[0] for row in left} == {other, waiting, late}
        assert [(await types_of(ledger, task_id)).count("erased") for task_id in tasks] == [1] * 5
        assert await examine(ledger, bound_seconds=3600) == []


async def test_rewrapped_keys_need_the_new_secret_alone(database_url: str) -> None:
    async with opened(database_url, **SETTINGS) as ledger:
        [task_id] = await submitted(ledger, input=MARKER, erasable=True)
    async with opened(database_url, payload_secret=f"{'n' * 32},{SECRET}") as ledger:
        assert [await rewrap(ledger) for _ in range(2)] == [1, 0]
    async with opened_api(database_url, payload_secret="n" * 32) as (_, client):
        assert (await client.get(f"/tasks/{task_id}")).json()["input"] == MARKER


async def test_no_key_goes_without_a_tombstone_and_the_doctor_names_what_breaks_that(ledger: Ledger) -> None:
    kept, lost = await ran(ledger, ListeningBroker(), "echo", "echo")

    for statement in (
        "DELETE FROM ledger.payload_keys",
        "TRUNCATE ledger.payload_keys",
        "UPDATE ledger.payload_keys SET task_id = gen_random_uuid()",
    ):
        with pytest.raises(StoreRefusedError):
            await execute(ledger, statement)
    await execute(ledger, "INSERT INTO ledger.erasures VALUES ($1, 'user:mallory', '')", kept)
    await execute(ledger, "ALTER TABLE ledger.payload_keys DISABLE TRIGGER guard_payload_keys")
    await execute(ledger, "DELETE FROM ledger.payload_keys WHERE task_id = $1", lost)
    await execute(ledger, "ALTER TABLE ledger.payload_keys ENABLE ALWAYS TRIGGER guard_payload_keys")

    found = {(one.check, one.id) for one in await examine(ledger) if one.invariant == 8}
    assert found == {
        ("keyless_payloads", str(lost)),
        ("undestroyed_keys", str(kept)),
        ("unrecorded_erasures", str(kept)),
    }


async def test_erasures_that_meet_end_as_one(ledger: Ledger) -> None:
    [task_id] = await ran(ledger, ListeningBroker(), "echo")

    met = await asyncio.gather(*[Erasure(ledger).erase(task_id, reason="", origin=CLIENT) for _ in range(5)])

    assert len([one for one in met if one.appended]) == 1
    assert await types_of(ledger, task_id) == ["submitted", "started", "completed", "erased"]


async def test_an_erasure_and_a_retry_that_meet_leave_a_task_that_can_run_or_is_erased(ledger: Ledger) -> None:
    tasks = await ran(ledger, ListeningBroker(), *["echo"] * 8)

    await asyncio.gather(
        *[Erasure(ledger).erase(task_id, reason="", origin=CLIENT) for task_id in tasks],
        *[ledger.commands.retry(task_id, reason="", origin=CLIENT) for task_id in tasks],
        return_exceptions=True,
    )

    kept = {row[0] for row in await fetch(ledger, "SELECT task_id FROM ledger.payload_keys")}
    assert {task_id for task_id in tasks if not (await ledger.commands.load(task_id)).erased} == kept
    assert await examine(ledger, bound_seconds=3600) == []


async def test_a_stream_shows_what_is_not_erased(database_url: str) -> None:
    settings = load_settings(database_url=database_url, host="127.0.0.1", port=0, **SETTINGS)
    async with open_ledger(settings) as ledger:
        kept, gone = await ran(ledger, ListeningBroker(), "echo", "echo")
        await Erasure(ledger).erase(gone, reason="", origin=CLIENT)
        async with (
            serving(create_app(ledger), settings) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
            event_source(client, f"/tasks/{kept}/stream") as of_kept,
            event_source(client, f"/tasks/{gone}/stream") as of_gone,
        ):
            inputs = [(await source.take(1))[0].data["data"] for source in (of_kept, of_gone)]

    assert [dict(data)["input"] for data in inputs] == [{"name": MARKER}, ERASED]  # type: ignore[arg-type]  # an object
