"""Whoever asks the API about an archived month is told so, instead of an empty history."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from ledger.archive.detach import detach
from ledger.bootstrap import Ledger
from tests.integration.api_given import assert_problem, client_of
from tests.integration.archives_given import JUNE, MAY, aged_ledger
from tests.integration.given import execute, fetch


@pytest.fixture
async def archived(
    database_url: str, tmp_path: Path
) -> AsyncIterator[tuple[Ledger, list[UUID], httpx.AsyncClient]]:
    async with aged_ledger(database_url) as (ledger, tasks):
        await detach(ledger, MAY, directory=tmp_path, actor="tester")
        async with client_of(ledger) as client:
            yield ledger, tasks, client


async def test_archived_task_is_shown_by_its_row_and_its_history_is_gone(
    archived: tuple[Ledger, list[UUID], httpx.AsyncClient],
) -> None:
    _, tasks, client = archived
    path = f"/tasks/{tasks[0]}"

    assert (await client.get(path)).json()["status"] == "COMPLETED"
    assert (await client.get(f"{path}/status")).json()["status"] == "COMPLETED"
    for gone in ("/events", "/explain", "?as_of_version=1", "/stream"):
        response = await client.get(f"{path}{gone}")
        assert_problem(
            response, 410, f"the history of task {tasks[0]} is not in the log: the tasks of 2024-05 are"
        )
        assert response.json()["month"] == "2024-05"
    for act in ("retry", "cancel"):
        assert_problem(await client.post(f"{path}/{act}", json={"reason": "late"}), 410, "the history of task")
    assert (await client.get(f"{path}/evidence")).status_code == 200  # its table is kept


async def test_task_of_an_archived_month_without_a_row_is_not_called_unknown(
    archived: tuple[Ledger, list[UUID], httpx.AsyncClient],
) -> None:
    ledger, tasks, client = archived
    await execute(ledger, "DELETE FROM projections.task_status WHERE task_id = $1", tasks[0])

    assert_problem(await client.get(f"/tasks/{tasks[0]}/status"), 410, "the history of task")
    assert_problem(await client.get(f"/tasks/{UUID(int=JUNE.ids[0].int + 9)}/status"), 404, "Task not found")


async def test_log_says_what_has_left_it(archived: tuple[Ledger, list[UUID], httpx.AsyncClient]) -> None:
    ledger, _, client = archived
    (last,) = await fetch(ledger, "SELECT last_position FROM ledger.archives")

    page = (await client.get("/events")).json()
    after = (await client.get("/events", params={"after": last[0]})).json()
    exported = await client.get("/events/export")

    assert len(page["events"]) == 9
    assert [part["month"] for part in page["archived"]] == ["2024-05"]
    assert page["archived"][0]["file"] == "task-ledger-2024-05.archive"
    assert after["archived"] == []
    assert exported.headers["Ledger-Archived"] == "2024-05"


async def test_moment_that_takes_archived_events_is_refused_and_others_are_told(
    archived: tuple[Ledger, list[UUID], httpx.AsyncClient],
) -> None:
    ledger, _, client = archived
    (times,) = await fetch(
        ledger,
        "SELECT first_recorded_at - interval '1 day', first_recorded_at, last_recorded_at FROM ledger.archives",
    )
    before, within, after = (moment.isoformat() for moment in times)

    for path in ("/ledger", "/tasks"):
        refused = await client.get(path, params={"as_of": within})
        assert_problem(refused, 410, f"The ledger as of {within[:19]}")
        assert refused.json()["months"] == ["2024-05"]
        assert (await client.get(path, params={"as_of": before})).status_code == 200
        assert (await client.get(path, params={"as_of": after})).status_code == 200
    assert_problem(await client.get("/ledger/diff", params={"from": before, "to": after}), 410, "The ledger since")


async def test_archives_are_listed(archived: tuple[Ledger, list[UUID], httpx.AsyncClient], tmp_path: Path) -> None:
    _, _, client = archived

    (listed,) = (await client.get("/archives")).json()["archives"]

    assert (listed["month"], listed["state"], listed["events"], listed["tasks"]) == ("2024-05", "detached", 9, 3)
    assert listed["file_bytes"] == (tmp_path / listed["file"]).stat().st_size
