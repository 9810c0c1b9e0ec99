"""Runs: asked for over HTTP, carried out by a projector, followed to their end, taken up where one was killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import httpx
import pytest

from api.app import create_app
from ledger.bootstrap import Ledger, open_ledger
from ledger.leader import leading
from ledger.settings import load_settings
from ledger.store.records import Origin, RecordedEvent
from projections.catalogue import Catalogue
from projections.conductor import Conductor
from projections.projection import Projection
from projections.projector import Projector
from projections.rebuild import rebuild_role
from projections.runs import Act, Run, Runs, RunState
from projections.task_status import TASK_STATUS
from projections.verify import verify
from tests.integration.api_given import UNKNOWN_ID, assert_problem
from tests.integration.given import caught_up, eventually, execute, fetch, running, submitted
from tests.integration.lives import live_through
from tests.integration.projections_given import SEEN, kinds_in
from tests.integration.sse import Received, event_source

LIVE_ONLY = replace(SEEN, name="unchecked", tables=("unchecked",), difference_statement="")
OPERATOR = Origin(actor="operator")
MARKED = "SELECT count(*) FROM {schema}.task_status WHERE worker_id = 'of the first rebuild'"
LEFTOVERS = """SELECT to_regclass('projections_next.task_status') IS NOT NULL
                  AND EXISTS (SELECT FROM ledger.checkpoints WHERE name = 'projection:task_status:next')
                  AND (SELECT phase FROM ledger.projection_runs) = 'swapping'"""


@asynccontextmanager
async def opened(
    url: str, *others: Projection, **settings: object
) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    catalogue = Catalogue((*Catalogue(), *others))
    async with open_ledger(load_settings(database_url=url, **settings)) as ledger:
        transport = httpx.ASGITransport(create_app(ledger, catalogue=catalogue))
        async with httpx.AsyncClient(transport=transport, base_url="http://ledger") as client:
            yield ledger, client


@pytest.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    settings = {"projection_runs_kept_max": 2, "projection_run_tries_max": 2, "projection_run_differences_max": 1}
    async with opened(database_url, kinds_in(tmp_path), LIVE_ONLY, **settings) as api:
        yield api


async def test_projections_are_listed_and_shown_as_they_stand(ledger: Ledger, client: httpx.AsyncClient) -> None:
    await submitted(ledger, 3)
    await caught_up(ledger)
    await submitted(ledger, 2)

    listed = (await client.get("/projections")).json()["projections"]
    shown = (await client.get("/projections/task_status")).json()

    assert [one["name"] for one in listed] == [*Catalogue().names, "kinds", "unchecked"]
    [made] = [one for one in listed if one["name"] == "task_status"]
    assert (made["position"], made["horizon"], made["events_behind"], made["error"]) == (3, 5, 2, None)
    assert (made["version"], made["made_by"], made["tables"]) == (TASK_STATUS.version,) * 2 + (["task_status"],)
    assert made["lag_seconds"] > 0
    assert {**made, "lag_seconds": shown["lag_seconds"], "last_run": None} == shown
    assert listed[-1]["made_by"] is None


async def test_rebuild_that_is_asked_for_is_carried_out_and_told_as_a_stream_until_it_ends(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    await live_through(ledger, 20)
    await caught_up(ledger)

    asked = await client.post("/projections/task_status/rebuild", json={"reason": "disk was full"})
    location = asked.headers["location"]
    queued = (await client.get(location)).json()
    assert await Conductor(ledger, Catalogue()).run_once() == 1
    ended = (await client.get(location)).json()
    async with event_source(client, f"{location}/stream") as source:
        [told] = await source.take(1)
        assert await source.next() is None
    again = await client.get(f"{location}/stream", headers={"Last-Event-ID": source.last_id})

    assert (asked.status_code, location) == (202, f"/projections/runs/{asked.json()['run_id']}")
    assert (queued["state"], queued["phase"], queued["actor"], queued["reason"]) == (
        "queued", None, "client", "disk was full",
    )  # fmt: skip
    assert (ended["state"], ended["phase"], ended["eta_seconds"], ended["error"]) == (
        "succeeded",
        "done",
        None,
        None,
    )
    [(events,)] = await fetch(ledger, "SELECT count(*) FROM ledger.events")
    assert ended["events_done"] == ended["events_total"] == events
    assert ended["events_per_second"] > 0
    assert 0 < ended["swap_seconds"] < 5
    assert (told.type, told.data) == ("ended", ended)
    assert again.status_code == 204
    assert (await client.get("/projections/task_status")).json()["last_run"] == ended


async def test_stream_follows_a_run_until_its_end(
    ledger: Ledger, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    await submitted(ledger, 3)
    location = (await client.post("/projections/kinds/reset")).headers["location"]
    following = asyncio.create_task(_followed(client, f"{location}/stream"))

    unknown = await Conductor(ledger, Catalogue()).run_once()
    known = await Conductor(ledger, Catalogue((kinds_in(tmp_path),))).run_once()
    told = await asyncio.wait_for(following, 20)

    assert (unknown, known) == (0, 1)
    assert [event.type for event in told] == ["progress"] * (len(told) - 1) + ["ended"]
    assert told[-1].data["state"] == "succeeded"
    assert [row["tasks"] for row in await fetch(ledger, "SELECT tasks FROM projections.kinds")] == [3]


async def test_verification_says_where_the_read_model_differs(ledger: Ledger, client: httpx.AsyncClient) -> None:
    first, *_ = await submitted(ledger, 3)
    await caught_up(ledger)
    await execute(ledger, "UPDATE projections.task_status SET attempt = 7")

    location = (await client.post("/projections/task_status/verify")).headers["location"]
    await Conductor(ledger, Catalogue()).run_once()
    ended = (await client.get(location)).json()

    assert (ended["state"], ended["difference_count"]) == ("succeeded", 3)
    assert ended["differences"] == [{"key": str(first), "column": "attempt", "expected": "0", "found": "7"}]


async def test_a_projection_has_one_open_run_and_the_refusal_names_it(client: httpx.AsyncClient) -> None:
    run_id = (await client.post("/projections/task_status/rebuild")).json()["run_id"]

    refused = await client.post("/projections/task_status/verify")
    other = await client.post("/projections/kinds/verify")

    assert_problem(refused, 409, f"the projection task_status has an open run, rebuild {run_id}")
    assert refused.json()["run_id"] == run_id
    assert other.status_code == 202


async def test_what_is_wrong_with_a_request_is_said(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/projections/none"), 404, "no projection 'none'; there are: task_status")
    assert_problem(await client.post("/projections/none/reset"), 404, "no projection 'none'")
    assert_problem(await client.get("/projections/none/runs"), 404, "no projection 'none'")
    assert_problem(await client.get(f"/projections/runs/{UNKNOWN_ID}"), 404, f"there is no run {UNKNOWN_ID}")
    assert_problem(await client.get(f"/projections/runs/{UNKNOWN_ID}/stream"), 404, "there is no run ")
    assert_problem(await client.get("/projections/runs/x"), 400, "Invalid Run ID format")
    assert_problem(
        await client.get("/projections/runs", params={"limit": 501}), 400, "Invalid request query: limit must be"
    )
    assert_problem(await client.post("/projections/task_status/reset", content=b"{"), 400, "Invalid request body")
    assert_problem(
        await client.post("/projections/unchecked/verify"), 409, "the projection unchecked does not say"
    )


async def test_runs_are_listed_newest_first_and_the_oldest_ended_ones_forgotten(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    await submitted(ledger)
    await caught_up(ledger)
    asked = []
    for _ in range(3):
        asked.append((await client.post("/projections/task_status/verify")).json()["run_id"])
        await Conductor(ledger, Catalogue()).run_once()
    asked.append((await client.post("/projections/task_status/rebuild")).json()["run_id"])

    first = (await client.get("/projections/task_status/runs", params={"limit": 2})).json()
    rest = (await client.get("/projections/runs", params={"before": first["next_before"]})).json()

    assert [one["run_id"] for one in [*first["runs"], *rest["runs"]]] == [asked[3], asked[2], asked[1]]
    assert rest["next_before"] is None
    assert (await client.get("/projections/kinds/runs")).json() == {"runs": [], "next_before": None}


async def test_failed_run_says_why_without_what_the_code_said(ledger: Ledger) -> None:
    async def apply(_connection: asyncpg.Connection, _events: Sequence[RecordedEvent]) -> None:
        raise RuntimeError("postgres://user:secret@host")

    broken = replace(SEEN, apply=apply)
    await submitted(ledger)

    run = await _carried_out(ledger, broken, Act.REBUILD)

    assert run.state is RunState.FAILED
    assert run.error is not None
    assert run.error.startswith("the projection seen raised RuntimeError at the events after position 0 up to 1")
    assert "secret" not in run.error


async def test_run_waits_while_somebody_else_is_at_the_read_model_and_a_reset_is_refused(ledger: Ledger) -> None:
    await submitted(ledger)
    await caught_up(ledger)
    async with leading(ledger.database, rebuild_role(TASK_STATUS)) as connection:
        assert connection is not None
        waiting = await _carried_out(ledger, TASK_STATUS, Act.VERIFY)
    await Conductor(ledger, Catalogue()).run_once()
    verified = await Runs(ledger).read(waiting.run_id)
    async with leading(ledger.database, rebuild_role(TASK_STATUS)) as connection:
        refused = await _carried_out(ledger, TASK_STATUS, Act.RESET)

    assert (waiting.state, waiting.tries) == (RunState.QUEUED, 0)
    assert (verified.state, verified.tries) == (RunState.SUCCEEDED, 1)
    assert (refused.state, refused.error) == (
        RunState.FAILED,
        "another process rebuilds or verifies the read model task_status",
    )


async def test_run_that_kills_whoever_begins_it_and_run_that_nobody_knows_are_ended(ledger: Ledger) -> None:
    await submitted(ledger)
    runs = Runs(ledger)
    deadly = await runs.request(TASK_STATUS, Act.REBUILD, reason="", origin=OPERATOR)
    orphan = await runs.request(SEEN, Act.REBUILD, reason="", origin=OPERATOR)
    await execute(ledger, "UPDATE ledger.projection_runs SET tries = 2, requested_at = now() - interval '2 hours'")

    conductor = Conductor(ledger, Catalogue())
    assert [await conductor.run_once(), await conductor.run_once()] == [1, 0]

    errors = [(await runs.read(run.run_id)).error for run in (deadly, orphan)]
    assert errors == [
        "it was begun 2 times, and no process came to its end",
        "no projector that knows this projection took it within 3600 s: give it the same --app",
    ]


async def test_readers_writers_and_the_projector_go_on_during_a_rebuild_over_http(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    await live_through(ledger, 30)
    await caught_up(ledger)
    writing = asyncio.create_task(live_through(ledger, 80))
    statuses: list[int] = []

    async def read_all_the_time() -> None:
        while True:
            statuses.append((await client.get("/tasks", params={"limit": 5})).status_code)

    projector = Projector(ledger, [TASK_STATUS])
    async with running(projector.run(), Conductor(ledger, Catalogue()).run(), read_all_the_time()):
        location = (await client.post("/projections/task_status/rebuild")).headers["location"]
        await eventually(lambda: _has_ended(client, location), what="the rebuild has ended")
        await writing

    assert (await client.get(location)).json()["state"] == "succeeded"
    assert len(statuses) > 5
    assert set(statuses) == {200}
    assert await verify(ledger, TASK_STATUS) == []


async def test_run_of_a_projector_that_was_killed_is_taken_up_by_another_after_its_last_step(
    ledger: Ledger, client: httpx.AsyncClient, database_url: str
) -> None:
    await live_through(ledger, 10)
    await caught_up(ledger)
    location = (await client.post("/projections/task_status/rebuild")).headers["location"]
    environment = {**os.environ, "DATABASE_URL": database_url}

    async with ledger.database.dedicated() as reader, reader.transaction():
        await reader.execute("SELECT count(*) FROM projections.task_status")  # so that it cannot be swapped
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "projections", env=environment, stderr=asyncio.subprocess.DEVNULL
        )
        await eventually(lambda: _is_so(ledger, LEFTOVERS), what="the next generation waits to be swapped")
        process.send_signal(signal.SIGKILL)
        await process.wait()
    killed = (await client.get(location)).json()
    await execute(ledger, "UPDATE projections_next.task_status SET worker_id = 'of the first rebuild'")
    [(marked,)] = await fetch(ledger, MARKED.format(schema="projections_next"))
    async with running(Conductor(ledger, Catalogue()).run()):
        await eventually(lambda: _has_ended(client, location), what="another projector has ended it")
    ended = (await client.get(location)).json()

    assert (killed["state"], killed["tries"], killed["phase"]) == ("running", 1, "swapping")
    assert (ended["state"], ended["tries"]) == ("succeeded", 2)
    assert [row[0] for row in await fetch(ledger, MARKED.format(schema="projections"))] == [marked]
    assert marked == 10


async def _carried_out(ledger: Ledger, projection: Projection, act: Act) -> Run:
    run = await Runs(ledger).request(projection, act, reason="", origin=OPERATOR)
    await Conductor(ledger, Catalogue((projection,))).run_once()
    return await Runs(ledger).read(run.run_id)


async def _followed(client: httpx.AsyncClient, path: str) -> list[Received]:
    told = []
    async with event_source(client, path) as source:
        while (event := await source.next()) is not None:
            told.append(event)
    return told


async def _has_ended(client: httpx.AsyncClient, location: str) -> bool:
    return (await client.get(location)).json()["ended_at"] is not None


async def _is_so(ledger: Ledger, statement: str) -> bool:
    [(answer,)] = await fetch(ledger, statement)
    return bool(answer)
