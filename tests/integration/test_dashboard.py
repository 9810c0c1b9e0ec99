"""The dashboard without any script: its pages are whole, keep their filters, and are safe to look at."""

import re
from uuid import UUID

import httpx
import pytest

from api.dashboard.pages import PAGES
from ledger.bootstrap import Ledger
from ledger.queues.settings import pause
from ledger.store.records import Origin
from ledger.task_words import Cause, TaskError
from projections.projector import Projector
from projections.shipped import SHIPPED
from tests.integration.api_given import UNKNOWN_ID, page
from tests.integration.given import caught_up, execute, started, submitted

ATTACK = '<script>alert("x")</script>'


async def failed(ledger: Ledger, task_id: UUID, *, message: str) -> None:
    """Start a task and let it fail for good."""
    attempt = await started(ledger, task_id)
    error = TaskError(type="ConnectionError", message=message)
    await ledger.commands.decide(
        task_id,
        lambda task: task.fail(
            attempt=attempt, error=error, cause=Cause.ERROR, now=ledger.clock.now(), retry_delay_seconds=None
        ),
        origin=Origin(actor="worker:one"),
    )


@pytest.mark.parametrize("path", [f"/ui{page.path}" for page in PAGES if "{" not in page.path])
async def test_each_page_is_whole_on_an_empty_ledger_and_loads_from_us_only(
    ledger: Ledger, client: httpx.AsyncClient, path: str
) -> None:
    await Projector(ledger, SHIPPED).run_once()
    response = await client.get(path)
    text = response.text

    assert response.status_code == 200, text
    assert "default-src 'self'" in response.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]* src=)|\son\w+=|<style|\sstyle=|(?:src|href)=\"https?:", text)
    for reference in re.findall(r'<(?:link|script)[^>]*(?:src|href)="([^"]+)"', text):
        if not reference.startswith("data:"):
            assert (await client.get(httpx.URL(f"http://ledger{path}").join(reference))).status_code == 200


async def test_what_users_write_is_text_on_every_page(ledger: Ledger, client: httpx.AsyncClient) -> None:
    [task_id] = await submitted(ledger, kind="mail", input=ATTACK, tags=(ATTACK,))
    await failed(ledger, task_id, message=ATTACK)
    await pause(ledger.database, "default", actor=ATTACK, reason=ATTACK)
    await caught_up(ledger)

    paths = (
        "", "/tasks", f"/tasks/{task_id}", "/events", "/dead-letters", "/queues", "/audit?source=queue_changes",
        f"/tasks?tag={ATTACK}", f"/past?to={ATTACK}",
    )  # fmt: skip
    for path in paths:
        assert "<script>alert" not in await page(client, f"/ui{path}")
    assert "&lt;script&gt;alert" in await page(client, f"/ui/tasks/{task_id}")


async def test_the_list_has_counts_and_keeps_its_filters_in_its_address(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    mail, _ = await submitted(ledger, kind="mail", queue="post"), await submitted(ledger, kind="pay", count=2)
    await caught_up(ledger)

    everything = await page(client, "/ui/tasks")
    some = await page(client, "/ui/tasks?status=PENDING&kind=mail")

    assert "PENDING <b>3</b>" in everything
    assert "pay <b>2</b>" in everything
    assert len(re.findall(r'class="id" href="../ui/tasks/', everything)) == 3
    assert [UUID(found) for found in re.findall(r'href="../ui/tasks/([^"]+)"', some)] == mail
    assert 'href="?status=PENDING&amp;kind=mail&amp;status=FAILED"' in some


async def test_a_long_list_goes_on_with_a_cursor(ledger: Ledger, client: httpx.AsyncClient) -> None:
    await submitted(ledger, count=51)
    await caught_up(ledger)

    first = await page(client, "/ui/tasks")
    [link] = re.findall(r'rel="next" href="([^"]+)"', first)
    second = await page(client, f"/ui/tasks{link}")

    assert len(re.findall(r'class="id"', second)) == 1
    assert "First page" in second


async def test_a_task_shows_its_history_its_lanes_and_that_its_row_equals_the_fold(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    [task_id] = await submitted(ledger, kind="mail")
    await failed(ledger, task_id, message="no route")
    await caught_up(ledger)

    text = await page(client, f"/ui/tasks/{task_id}")

    assert "The row of the read model equals the fold of the events." in text
    assert "no route" in text
    assert [name in text for name in ("task.submitted", "task.started", "task.failed")] == [True] * 3
    assert "attempt 1" in text
    assert re.search(r'<rect class="bar FAILED" x="[\d.]+" y="30" width="[\d.]+"', text)


async def test_a_task_is_shown_as_it_was_after_each_event(ledger: Ledger, client: httpx.AsyncClient) -> None:
    [task_id] = await submitted(ledger, kind="mail")
    await started(ledger, task_id)
    await caught_up(ledger)

    text = await page(client, f"/ui/tasks/{task_id}?version=1")

    assert "State as of version 1" in text
    assert '<tr class="differs"><th scope="row">status</th><td>PENDING</td><td>RUNNING</td>' in text.replace(
        "> <", "><"
    )


async def test_a_row_that_differs_from_the_fold_is_told(ledger: Ledger, client: httpx.AsyncClient) -> None:
    [task_id] = await submitted(ledger)
    await caught_up(ledger)
    await execute(ledger, "UPDATE projections.task_status SET kind = 'forged'")

    assert "The read model differs from the fold of the events in: kind." in await page(
        client, f"/ui/tasks/{task_id}"
    )


async def test_a_task_that_is_not_there_is_a_page_too(client: httpx.AsyncClient) -> None:
    assert "Task not found" in await page(client, f"/ui/tasks/{UNKNOWN_ID}", 404)
    assert "Invalid Task ID format" in await page(client, "/ui/tasks/nonsense", 400)


async def test_the_log_is_filtered_by_several_types_at_once(ledger: Ledger, client: httpx.AsyncClient) -> None:
    [task_id] = await submitted(ledger)
    await started(ledger, task_id)

    text = await page(client, "/ui/events?types=task.submitted&types=task.started")
    only = await page(client, "/ui/events?types=task.started")

    assert (text.count('class="act '), only.count('class="act ')) == (2, 1)


async def test_the_time_machine_shows_a_moment_and_two_compared(ledger: Ledger, client: httpx.AsyncClient) -> None:
    await submitted(ledger, count=2)
    await caught_up(ledger)

    now = await page(client, "/ui/past")
    since = await page(client, "/ui/past?from=2026-01-01T00:00")
    future = await page(client, "/ui/past?to=2999-01-01T00:00:00Z")

    assert "<b>2</b> tasks" in now
    assert re.search(
        r"new ?</td> ?<td><span class=\"status PENDING\">PENDING</span></td> ?<td class=\"number\">2<", since
    )
    assert "to must be" in future or "as_of must be" in future


async def test_the_overview_tells_what_broke_and_who_lags(ledger: Ledger, client: httpx.AsyncClient) -> None:
    [task_id] = await submitted(ledger)
    await failed(ledger, task_id, message="no route")
    await caught_up(ledger)

    text = await page(client, "/ui")

    assert "no route" in text
    assert "projection:task_status" in text


async def test_behind_a_prefix_every_link_of_a_page_still_leads_to_us(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    [task_id] = await ledger_with_one(ledger)
    text = await page(client, f"/ui/tasks/{task_id}")

    links = re.findall(r'(?:href|src)="([^"#?]+)"', text)

    assert links
    assert [link for link in links if link.startswith("/")] == []


async def test_a_failure_group_shows_its_trend_and_its_tasks(ledger: Ledger, client: httpx.AsyncClient) -> None:
    [task_id] = await submitted(ledger, kind="mail")
    await failed(ledger, task_id, message=f"no route to 10.0.0.7 {ATTACK}")
    await Projector(ledger, SHIPPED).run_once()

    listed = await page(client, "/ui/failures")
    [group] = re.findall(r'href="../ui/failures/([^"]+)"', listed)
    shown = await page(client, f"/ui/failures/{group}")

    assert "no route to &lt;address&gt;" in listed
    assert str(task_id) in shown
    assert re.search(r"<title>[\d :-]+: 1 FAILED, 0 PENDING</title>", shown)
    assert "<script>alert" not in shown


async def ledger_with_one(ledger: Ledger) -> list[UUID]:
    """Submit a task under a correlation id of its own."""
    origin = Origin(actor="client", correlation_id="order/7&x")
    task_ids = await submitted(ledger)
    await ledger.commands.cancel(task_ids[0], reason="x", origin=origin)
    await caught_up(ledger)
    return task_ids
