"""The most telling faults, on one running system: nothing lost, nothing doubled, every invariant holds."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from ledger.bootstrap import open_ledger
from ledger.doctor import examine
from ledger.errors import EmbeddedPostgresError
from ledger.settings import load_settings
from projections.task_status import TASK_STATUS
from projections.verify import verify
from tests.chaos.faults import (
    DUPLICATES,
    EVENT_COLUMNS,
    Dose,
    delete_binding,
    freeze_worker,
    kill_postgres,
    publish_again,
    purge_queue,
    read_only_database,
    wipe_broker,
)
from tests.chaos.steps import EXACT_FAULTS, STEPS, death, submitted_in_vain
from tests.chaos.system import LEASE_SECONDS, ChaoticSystem, chaotic_system
from tests.services.processes import stable_port
from tests.services.provision import ServiceAbsentError, absent

pytestmark = pytest.mark.timeout(180)

_SECONDS_MAX = 60.0
_OF = "SELECT count(*) FROM projections.task_status WHERE task_id = ANY ($1::uuid[]) AND status = $2"
_TYPES = """
    SELECT task_id::text AS task_id, array_agg(substr(type, 6) ORDER BY version) AS types
      FROM ledger.events WHERE task_id = ANY ($1::uuid[]) GROUP BY task_id
"""
_SUBMITTED = f"SELECT {EVENT_COLUMNS} FROM ledger.events WHERE task_id = ANY ($1::uuid[]) AND version = 1"  # noqa: S608
_OF_KIND = "SELECT task_id::text FROM ledger.events WHERE type = 'task.submitted' AND kind = $1"
_STALE = """
    SELECT task_id::text, attempt, current_attempt, status FROM ledger.stale_writes
     WHERE task_id = ANY ($1::uuid[])
"""
_CLOCK_ERROR = """
    SELECT max(abs(extract(epoch FROM occurred_at - recorded_at)))::int FROM ledger.events
     WHERE task_id = ANY ($1::uuid[])
"""
_MAKE_DUE = "UPDATE ledger.schedules SET next_fire_at = date_trunc('minute', now()) WHERE name = 'chaos'"
_FIRES = "SELECT count(*) FROM ledger.schedule_fires WHERE schedule = 'chaos' AND outcome = 'fired'"
_FIRED = """
    SELECT task_id::text FROM ledger.events WHERE type = 'task.submitted' AND data -> 'tags' ? 'fired'
"""
_PAYMENTS = "SELECT count(*) FROM payments"
_ONCE = ["submitted", "started", "completed"]
_AGAIN = ["submitted", "started", "failed", "released", "started", "completed"]


@pytest.fixture(scope="module")
def system() -> Iterator[ChaoticSystem]:
    """One system for all faults: what one leaves behind, the next has to live with."""
    environment = {"LEDGER_WORKER_CONCURRENCY": "20", "LEDGER_WORKER_PREFETCH": "5"}
    try:
        with chaotic_system(workers=2, environment=environment) as system:
            yield system
    except (ServiceAbsentError, EmbeddedPostgresError) as error:
        absent("private Postgres and RabbitMQ", [str(error)])


async def test_workers_killed_at_each_step_and_their_sweeper_too_run_again_only_what_had_no_outcome(
    system: ChaoticSystem,
) -> None:
    system.cluster.kill("scheduler")
    sweeper = system.start_doomed("scheduler", "after:task.failed")
    queues = {step: f"step-{number}" for number, step in enumerate(STEPS["worker"])}
    doomed = [system.start_doomed("worker", step, LEDGER_WORKER_QUEUES=queue) for step, queue in queues.items()]
    tasks = {step: (await submit(system, kind="echo", queue=queue))[0] for step, queue in queues.items()}
    doomed.append(system.start_doomed("worker", "after:task.completed", LEDGER_WORKER_QUEUES="pay"))
    await system.execute("CREATE TABLE payments (task_id uuid NOT NULL)")
    tasks["inside the handler's own transaction"] = (await submit(system, kind="pay", queue="pay"))[0]
    for one in doomed:
        await death(one)
    paid_by_the_dead = await system.count(_PAYMENTS)

    system.start_worker(step="", LEDGER_WORKER_QUEUES=",".join([*queues.values(), "pay"]))
    await death(sweeper)
    system.cluster.start("scheduler")
    await until(system, list(tasks.values()), "COMPLETED")

    types = await types_of(system, list(tasks.values()))
    assert {step: types[task] for step, task in tasks.items()} == {
        "before:task.started": _ONCE,
        "before:ack": _AGAIN,
        "after:ack": _AGAIN,
        "during:run": _AGAIN,
        "before:task.completed": _AGAIN,
        "after:task.completed": _ONCE,
        "inside the handler's own transaction": _AGAIN,
    }
    assert (paid_by_the_dead, await system.count(_PAYMENTS)) == (0, 1)
    await all_is_well(system, list(tasks.values()))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in EXACT_FAULTS
        if name.startswith(("relay", "projector", "scheduler")) and "failed" not in name
    ],
)
async def test_role_killed_between_two_acts_loses_and_doubles_nothing(system: ChaoticSystem, name: str) -> None:
    before = await submit(system, 3, seconds=0.1)

    await EXACT_FAULTS[name](system, Dose())
    tasks = before + await submit(system, 3, seconds=0.1)
    await until(system, tasks, "COMPLETED")

    assert list((await types_of(system, tasks)).values()) == [_ONCE] * 6
    await all_is_well(system, tasks)


@pytest.mark.parametrize(
    ("step", "key", "recorded"),
    [("before:task.submitted", "", 0), ("after:task.submitted", "", 1), ("after:task.submitted", "the-key", 1)],
)
async def test_api_killed_beside_its_commit_has_recorded_all_of_a_task_or_nothing(
    system: ChaoticSystem, step: str, key: str, recorded: int
) -> None:
    port, body = stable_port(), {"kind": "sleep", "input": 0}
    doomed = system.start_doomed("api", step, PORT=str(port))
    known = {row[0] for row in await system.fetch(_OF_KIND, "sleep")}

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        await submitted_in_vain(client, doomed, body=body, key=key)
    await death(doomed)

    tasks = [row[0] for row in await system.fetch(_OF_KIND, "sleep") if row[0] not in known]
    assert len(tasks) == recorded
    if key:
        async with httpx.AsyncClient(base_url=system.cluster.url, timeout=30) as client:
            again = await client.post("/tasks", json=body, headers={"Idempotency-Key": key})
        assert (again.status_code, again.json()["task_id"]) == (202, tasks[0])
    await until(system, tasks, "COMPLETED")
    await all_is_well(system, tasks)


async def test_scheduler_killed_inside_a_fire_fires_once(system: ChaoticSystem) -> None:
    schedule = {
        "cron": "* * * * *",
        "backfill": "latest",
        "task": {"kind": "sleep", "input": 0, "tags": ["fired"]},
    }
    async with httpx.AsyncClient(base_url=system.cluster.url, timeout=30) as client:
        (await client.put("/schedules/chaos", json=schedule)).raise_for_status()
        system.cluster.kill("scheduler")
        doomed = system.start_doomed("scheduler", "after:task.submitted")  # which is not committed yet
        await system.execute(_MAKE_DUE)
        await death(doomed)
        unfired = await system.count(_FIRES)
        system.cluster.start("scheduler")
        await system.until(_FIRES, at_least=1)
        (await client.post("/schedules/chaos/pause")).raise_for_status()

    tasks = [row[0] for row in await system.fetch(_FIRED)]
    assert unfired == 0
    assert len(tasks) == await system.count(_FIRES)
    await until(system, tasks, "COMPLETED")
    await all_is_well(system, tasks)


async def test_message_that_comes_twenty_times_more_starts_its_task_once(system: ChaoticSystem) -> None:
    tasks = await submit(system, seconds=1.0)
    events = await system.fetch(_SUBMITTED, tasks)

    await until(system, tasks, "RUNNING")
    await publish_again(system, events, times=DUPLICATES)
    await until(system, tasks, "COMPLETED")
    await publish_again(system, events, times=DUPLICATES)
    marker = await submit(system)
    await until(system, marker, "COMPLETED")

    assert await types_of(system, tasks) == {tasks[0]: _ONCE}
    await all_is_well(system, tasks + marker)


async def test_cancel_is_answered_in_every_state_and_ends_what_is_not_finished(system: ChaoticSystem) -> None:
    system.start_worker(step="", LEDGER_WORKER_QUEUES="retrying")
    given = {
        "delayed": await submit(system, delay_s=3600),
        "ready": await submit(system, queue="nobody-serves-it"),
        "running": await submit(system, seconds=600),
        "retrying": await submit(system, kind="come-back", input=3600, queue="retrying"),
        "finished": await submit(system),
    }
    await until(system, given["running"], "RUNNING")
    await until(system, given["finished"], "COMPLETED")
    await system.until(_OF.replace("status = $2", "failures = 1"), given["retrying"], at_least=1)

    async with httpx.AsyncClient(base_url=system.cluster.url, timeout=30) as client:
        answers = {state: await client.post(f"/tasks/{tasks[0]}/cancel") for state, tasks in given.items()}
    cancelled = [tasks[0] for state, tasks in given.items() if state != "finished"]
    await until(system, cancelled, "CANCELLED", seconds_max=5)

    assert {state: answer.status_code for state, answer in answers.items()} == {
        "delayed": 202, "ready": 202, "running": 202, "retrying": 202, "finished": 409,
    }  # fmt: skip
    assert answers["finished"].json()["reason"] == "too_late"
    assert await types_of(system, given["finished"]) == {given["finished"][0]: _ONCE}
    await all_is_well(system, given["finished"])


async def test_worker_on_a_machine_whose_clock_is_hours_off_fails_retries_and_records_in_time(
    system: ChaoticSystem,
) -> None:
    system.start_worker("--clock-hours", "11", step="", LEDGER_WORKER_QUEUES="wrong-clock")
    tasks = await submit(system, kind="fail", input="x", queue="wrong-clock", max_attempts=2)

    await until(system, tasks, "FAILED", seconds_max=20)

    types = (await types_of(system, tasks))[tasks[0]]
    assert types == ["submitted", "started", "failed", "released", "started", "failed"]
    assert await system.count(_CLOCK_ERROR, tasks) <= 1
    await all_is_well(system, [])


async def test_database_that_takes_no_write_for_a_while_loses_no_task(system: ChaoticSystem) -> None:
    tasks = await submit(system, 20, seconds=0.5)

    read_only = asyncio.create_task(read_only_database(system, Dose(outage_seconds=1.0)))
    refusal = await refused(system)
    await read_only
    tasks += await submit(system, 5)
    await until(system, tasks, "COMPLETED")

    assert refusal.status_code == 503
    await all_is_well(system, tasks)


async def test_messages_and_binding_that_are_lost_are_made_good(system: ChaoticSystem) -> None:
    tasks = await submit(system, 120, seconds=0.5)

    await delete_binding(system, Dose())
    await purge_queue(system, Dose())
    tasks += await submit(system, 10, seconds=0.1)
    await until(system, tasks, "COMPLETED")

    await all_is_well(system, tasks)


async def test_zombie_that_wakes_up_late_is_refused_and_its_writes_are_shown(system: ChaoticSystem) -> None:
    tasks = await submit(system, 20, seconds=5.0)  # longer than it may take to freeze one
    await until(system, tasks, "RUNNING")

    await freeze_worker(system, Dose(freeze_seconds=LEASE_SECONDS + 2.0))
    await until(system, tasks, "COMPLETED")
    await system.until(f"SELECT count(*) FROM ({_STALE}) AS stale", tasks, at_least=1)  # noqa: S608 - ours

    stale = (await system.fetch(_STALE, tasks))[0]
    async with httpx.AsyncClient(base_url=system.cluster.url) as client:
        shown = (await client.get(f"/tasks/{stale['task_id']}")).json()["stale_writes"]
    assert stale["attempt"] < stale["current_attempt"] or stale["status"] != "RUNNING"
    assert shown[0]["attempt"] == stale["attempt"]
    await all_is_well(system, tasks)


async def test_broker_that_lost_everything_loses_no_task(system: ChaoticSystem) -> None:
    tasks = await submit(system, 100, seconds=0.2)

    await wipe_broker(system, Dose())
    tasks += await submit(system, 20)
    await until(system, tasks, "COMPLETED")

    await all_is_well(system, tasks)


async def test_database_and_worker_killed_in_the_middle_lose_and_double_nothing(system: ChaoticSystem) -> None:
    tasks = await submit(system, 100, seconds=0.2)

    await kill_postgres(system, Dose())
    tasks += await submit(system, 20, seconds=0.2)
    system.cluster.kill("worker")
    system.start_worker()
    await until(system, tasks, "COMPLETED")

    await all_is_well(system, tasks)


async def submit(system: ChaoticSystem, count: int = 1, *, seconds: float = 0.0, **fields: object) -> list[str]:
    accepted: list[str] = []
    body = {"kind": "sleep", "input": seconds, "max_attempts": 10, **fields}
    async with httpx.AsyncClient(base_url=system.cluster.url, timeout=30) as client:
        async with asyncio.timeout(_SECONDS_MAX):
            while len(accepted) < count:
                answer = await client.post("/tasks", json=body)
                if answer.status_code == 202:
                    accepted.append(answer.json()["task_id"])
                else:
                    assert answer.status_code == 503, answer.text
                    await asyncio.sleep(0.1)
    return accepted


async def refused(system: ChaoticSystem) -> httpx.Response:
    async with httpx.AsyncClient(base_url=system.cluster.url, timeout=30) as client:
        async with asyncio.timeout(_SECONDS_MAX):
            while (answer := await client.post("/tasks", json={"kind": "sleep", "input": 0})).is_success:
                await asyncio.sleep(0.05)
    return answer


async def until(
    system: ChaoticSystem, tasks: list[str], status: str, *, seconds_max: float = _SECONDS_MAX
) -> None:
    await system.until(_OF, tasks, status, at_least=len(tasks), seconds_max=seconds_max)


async def types_of(system: ChaoticSystem, tasks: list[str]) -> dict[str, list[str]]:
    return {row["task_id"]: row["types"] for row in await system.fetch(_TYPES, tasks)}


async def all_is_well(system: ChaoticSystem, tasks: list[str]) -> None:
    types = await types_of(system, tasks)
    assert [types[task].count("completed") for task in tasks] == [1] * len(tasks)
    async with open_ledger(load_settings(database_url=system.postgres.url)) as ledger:
        assert await examine(ledger, bound_seconds=30) == []
        assert await verify(ledger, TASK_STATUS) == []
