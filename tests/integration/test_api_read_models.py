"""Timelines, statistics and failures over HTTP and on a terminal."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from ledger.bootstrap import Ledger
from ledger.store.records import NewEvent, Origin
from ledger.task_words import Cause, TaskError
from projections.generation import LIVE
from projections.projector import Projector
from projections.rebuild import Effort, rebuild
from projections.shipped import SHIPPED
from projections.verify import verify
from tests.integration.api_given import UNKNOWN_ID, assert_problem, opened_api, submitted
from tests.integration.commands_given import answer_of
from tests.integration.given import eventually, execute, fetch, opened, running, started
from tests.integration.lives import live_through
from tests.services.postgres import run_apart

WORKER = Origin(actor="worker:w")


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, read_model_wait_seconds_max=0.1, projector_pause_seconds=0.02) as api:
        yield api


async def test_a_timeline_is_the_same_from_the_stream_and_from_the_read_model(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    task_id = UUID(await submitted(client))
    await failed(ledger, task_id, message="no", retry_delay_seconds=0.0)
    await started(ledger, task_id)
    await ledger.commands.cancel(task_id, reason="", origin=WORKER)

    from_stream = await client.get(f"/tasks/{task_id}/timeline")
    await folded(ledger)
    from_model = await client.get(f"/tasks/{task_id}/timeline")

    assert from_stream.content == from_model.content
    timeline = from_model.json()
    assert (timeline["state"], timeline["attempts"], timeline["releases"]) == ("running", 2, 1)
    assert [(lane["attempt"], lane["outcome"], lane["cause"]) for lane in timeline["lanes"]] == [
        (1, "will_retry", "error"),
        (2, None, None),
    ]
    assert timeline["lanes"][1]["started_at"] == timeline["since"]


async def test_a_timeline_is_as_new_as_asked_for(client: httpx.AsyncClient, ledger: Ledger) -> None:
    task_id = await submitted(client)
    await folded(ledger)
    cancelled = await client.post(f"/tasks/{task_id}/cancel")
    written = {"Ledger-Min-Position": cancelled.headers["ledger-position"]}

    anyhow = await client.get(f"/tasks/{task_id}/timeline")
    current = await client.get(f"/tasks/{task_id}/timeline", headers=written)

    assert (anyhow.json()["state"], current.json()["state"]) == ("queued", "finished")
    assert_problem(await client.get(f"/tasks/{UNKNOWN_ID}/timeline"), 404, "Task")
    assert_problem(await client.get("/tasks/x/timeline"), 400, "Invalid Task ID format")


async def test_statistics_count_what_happened_and_how_long_it_took(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    task_id = UUID(await submitted(client, queue="mail"))
    await failed(ledger, task_id, message="no", retry_delay_seconds=None)
    await submitted(client)
    await folded(ledger)

    whole = (await client.get("/stats", params={"step": 60})).json()
    mail = (await client.get("/stats", params={"queue": "mail"})).json()["totals"]

    assert len(whole["points"]) == 60
    assert whole["totals"]["submitted"] == sum(point["submitted"] for point in whole["points"]) == 2
    assert (mail["submitted"], mail["started"], mail["failed"], mail["failure_share"]) == (1, 1, 1, 1.0)
    assert (mail["queued"]["count"], mail["run"]["count"]) == (1, 1)
    [event] = await fetch(ledger, "SELECT * FROM projections.queue_stats WHERE outcome = 'failed'")
    assert mail["run"]["p50"] == pytest.approx(max(event["microseconds"], 1000) / 1e6, rel=0.13)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/stats?step=61", "Invalid request query: step must be"),
        ("/stats?since=2020-01-01T00:00:00Z&step=60", "Invalid request query: step must be at least"),
        ("/stats?since=2020-01-02T00:00:00Z&until=2020-01-01T00:00:00Z", "Invalid request query: since must be"),
        ("/stats?since=soon", "Invalid request query: since"),
        ("/failures?limit=0", "Invalid request query: limit must be"),
        ("/failures?limit=501", "Invalid request query: limit must be at most 500"),
        ("/failures?cursor=x", "Invalid request query: cursor must be"),
        ("/failures?colour=red", "Invalid request query: unknown field: colour"),
        ("/failures/x", "Invalid Failure ID format"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused(client: httpx.AsyncClient, path: str, error: str) -> None:
    assert_problem(await client.get(path), 400, error)


async def test_the_same_trouble_is_one_group_with_its_trend(client: httpx.AsyncClient, ledger: Ledger) -> None:
    ids = [UUID(await submitted(client, kind="mail.send")) for _ in range(2)]
    for task_id in ids:
        await failed(ledger, task_id, message=f"no user {task_id} at 10.0.0.7:80", retry_delay_seconds=None)
    other = UUID(await submitted(client, kind="other"))
    await failed(ledger, other, message="disk full", retry_delay_seconds=5.0)
    await folded(ledger)

    first = (await client.get("/failures?limit=1")).json()
    second = (await client.get("/failures", params={"limit": 1, "cursor": first["next_cursor"]})).json()
    mail = (await client.get("/failures?kind=mail.send")).json()["failures"]
    shown = (await client.get(f"/failures/{mail[0]['id']}")).json()

    assert [group["message"] for group in (*first["failures"], *second["failures"])] == [
        "disk full",
        "no user <uuid> at <address>",
    ]
    assert second["next_cursor"] is None
    assert (first["failures"][0]["attempts"], first["failures"][0]["final"]) == (1, 0)
    assert (shown["attempts"], shown["final"], shown["frame"]) == (2, 2, "app.py in send")
    assert shown["tasks"] == [str(task_id) for task_id in reversed(ids)]
    assert sum(hour["attempts"] for hour in shown["trend"]) == 2
    assert {name: shown[name] for name in mail[0]} == mail[0]
    assert_problem(await client.get(f"/failures/{UNKNOWN_ID}"), 404, "Failure group")


async def test_an_error_that_cannot_be_read_is_in_the_group_of_the_encrypted(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    for error in ({"$encrypted": "abc"}, "abc"):
        task_id = UUID(await submitted(client))
        await started(ledger, task_id)
        words = json.dumps({"attempt": 1, "error": error, "cause": "error"})
        event = NewEvent(
            type="task.failed", schema_version=1, kind="default", queue="default", data=words,
            occurred_at=ledger.clock.now(), origin=WORKER,
        )  # fmt: skip
        await ledger.store.append(task_id, [event], expected_version=2)
    await folded(ledger)

    [group] = (await client.get("/failures")).json()["failures"]

    assert (group["type"], group["message"], group["attempts"]) == ("(encrypted)", "(encrypted)", 2)


async def test_a_read_model_that_is_missing_or_behind_is_said_to_be(
    client: httpx.AsyncClient, ledger: Ledger
) -> None:
    missing = [await client.get(path) for path in ("/stats", "/failures", f"/failures/{UNKNOWN_ID}")]
    await folded(ledger)
    task = await client.post("/tasks", json={"input": 1})
    written = {"Ledger-Min-Position": task.headers["ledger-position"]}
    behind = [await client.get(path, headers=written) for path in ("/stats", "/failures")]
    await folded(ledger)

    for answer, name in zip(missing, ("queue_stats", "failure_groups", "failure_groups"), strict=True):
        assert_problem(answer, 503, f"the read model {name} does not exist")
    for answer in behind:
        assert_problem(answer, 503, "The read model is at position 0")
    assert (await client.get("/stats", headers=written)).json()["totals"]["submitted"] == 1


async def test_a_rebuild_by_two_sessions_equals_the_fold_of_the_projector(ledger: Ledger) -> None:
    await live_through(ledger, 60)
    async with running(Projector(ledger, SHIPPED).run()):
        horizon = await ledger.store.safe_position()

        async def is_caught_up() -> bool:
            names = [LIVE.checkpoint_of(projection) for projection in SHIPPED]
            rows = await fetch(ledger, "SELECT position FROM ledger.checkpoints WHERE name = ANY ($1)", names)
            return [row["position"] for row in rows] == [horizon] * len(SHIPPED)

        await eventually(is_caught_up, what="every read model is caught up")
    live = {projection.name: await verify(ledger, projection) for projection in SHIPPED}
    for projection in SHIPPED:
        await rebuild(ledger, projection, effort=Effort(sessions=2, events_per_slice=20))
    rebuilt = {projection.name: await verify(ledger, projection) for projection in SHIPPED}

    assert live == rebuilt == {projection.name: [] for projection in SHIPPED}


async def test_what_somebody_changed_is_found(ledger: Ledger) -> None:
    await live_through(ledger, 10)
    await folded(ledger)
    await execute(ledger, "UPDATE projections.queue_stats SET events = 7 WHERE outcome = 'submitted'")
    await execute(ledger, "DELETE FROM projections.failure_trend")
    await execute(ledger, "UPDATE projections.task_timeline SET state = 'lost' WHERE attempts = 0")

    differences = {projection.name: await verify(ledger, projection) for projection in SHIPPED}

    assert {difference.column for difference in differences["queue_stats"]} == {"events"}
    assert {difference.column for difference in differences["failure_groups"]} == {"row"}
    assert {difference.found for difference in differences["task_timeline"]} == {"lost"}
    assert differences["task_status"] == []


def test_the_terminal_shows_the_same(database_url: str) -> None:
    task_id = run_apart(_failed_task(database_url))

    timeline = _run(database_url, "task", "timeline", task_id)
    stats = answer_of(_run(database_url, "stats", "--json").stdout)
    [group] = answer_of(_run(database_url, "failures", "list", "--json").stdout)["failures"]
    shown = _run(database_url, "failures", "show", group["id"])

    assert timeline.stdout.splitlines()[0].startswith(f"{task_id} finished since ")
    assert timeline.stdout.splitlines()[-1].endswith(": failed (error)")
    assert answer_of(_run(database_url, "task", "timeline", task_id, "--json").stdout)["attempts"] == 1
    assert stats["totals"]["failed"] == 1
    assert "1 submitted, 1 started, 1 failed; queued p50 " in _run(database_url, "stats").stdout
    assert (
        "1 attempts, 1 final  ValueError: user <n> (app.py in send)"
        in _run(database_url, "failures", "list").stdout
    )
    assert shown.stdout.splitlines()[:2] == ["ValueError: user <n>", "at app.py in send"]
    assert _run(database_url, "stats", "--step", "7").exit_code == 2
    assert _run(database_url, "failures", "show", UNKNOWN_ID).exit_code == 3


async def folded(ledger: Ledger) -> None:
    """Bring every read model up to the end of the log."""
    projector = Projector(ledger, SHIPPED)
    while await projector.run_once():
        pass


async def failed(ledger: Ledger, task_id: UUID, *, message: str, retry_delay_seconds: float | None) -> None:
    """Start a task and let it fail."""
    attempt = await started(ledger, task_id)
    now = ledger.clock.now() + timedelta(milliseconds=1)
    error = TaskError(
        type="ValueError", message=message, traceback='  File "/srv/app.py", line 7, in send\n    no()\n'
    )
    await ledger.commands.decide(
        task_id,
        lambda task: task.fail(
            attempt=attempt, error=error, cause=Cause.ERROR, now=now, retry_delay_seconds=retry_delay_seconds
        ),
        origin=WORKER,
    )


def _run(database_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--database-url", database_url])


async def _failed_task(database_url: str) -> str:
    async with opened(database_url) as ledger, opened_api(database_url) as (_, client):
        task_id = await submitted(client)
        await failed(ledger, UUID(task_id), message="user 17", retry_delay_seconds=None)
        await folded(ledger)
    return task_id
