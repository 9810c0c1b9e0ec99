"""The pytest helper, as its users have it: a test file of theirs in a pytest of its own."""

import asyncio
import subprocess
import sys
from datetime import timedelta

import pytest

from api.rehearsal.ledger_test import LedgerTest, StillBusyError
from ledger.task_words import Cause, Status
from worker.context import TaskContext
from worker.errors import NonRetryable

pytest_plugins = ["pytester"]

_APP = """
from worker.registry import task_handler

@task_handler("shop.confirm")
async def confirm(value: dict) -> str:
    return f"confirmed {value['order']}"
"""
_CONFIGURATION = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
pythonpath = .
ledger_apps = shop_tasks
"""
_TESTS = """
async def test_it_is_confirmed(ledger_test):
    ledger_test.fail_next("shop.confirm", ConnectionError("no route"))
    task_id = await ledger_test.submit("shop.confirm", {"order": 7}, delay=3600)
    await ledger_test.run_until_idle()
    assert ledger_test.task(task_id).result == "confirmed 7"
    assert ledger_test.statuses == {task_id: "COMPLETED"}

async def test_each_test_has_a_ledger_of_its_own(ledger_test):
    assert not ledger_test.statuses
"""


@pytest.fixture
def ledger() -> LedgerTest:
    return LedgerTest()


def _types(ledger: LedgerTest, number: int = 0) -> list[str]:
    task_id = list(ledger.statuses)[number]
    return [event.type.removeprefix("task.") for event in ledger.events(task_id)]


def test_a_users_test_file_has_the_fixture(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(shop_tasks=_APP, test_shop=_TESTS)
    pytester.makeini(_CONFIGURATION)

    result = pytester.runpytest_inprocess("-p", "api.testing", "-p", "no:cacheprovider")

    result.assert_outcomes(passed=2)


def test_importing_the_plugin_imports_nothing_of_the_server() -> None:
    program = "import sys, api.testing; print(*sys.modules)"

    imported = subprocess.check_output([sys.executable, "-c", program], text=True).split()

    assert {"ledger", "worker", "fastapi", "httpx", "asyncpg", "api.rehearsal"} & set(imported) == set()


async def test_delays_and_backoffs_take_no_time_and_stand_in_the_events(ledger: LedgerTest) -> None:
    began = ledger.now
    ledger.fail_next("echo", ConnectionError("no route"), times=2)

    await ledger.submit("echo", "hello", delay=timedelta(days=30))
    await ledger.run_until_idle()

    failed = ["released", "started", "failed"]
    assert _types(ledger) == ["submitted", *failed, *failed, "released", "started", "completed"]
    assert ledger.now - began >= timedelta(days=30)
    events = ledger.events(next(iter(ledger.statuses)))
    assert [event.recorded_at for event in events] == sorted(event.recorded_at for event in events)


async def test_attempts_run_out_and_a_hopeless_error_ends_at_once(ledger: LedgerTest) -> None:
    ledger.fail_next("echo", ValueError("no such order"), times=2)
    spent = await ledger.submit("echo", max_attempts=2)
    await ledger.run_until_idle()
    ledger.fail_next("echo", NonRetryable("never"))
    hopeless = await ledger.submit("echo")
    await ledger.run_until_idle()

    assert [ledger.task(task_id).status for task_id in (spent, hopeless)] == [Status.FAILED, Status.FAILED]
    assert [ledger.task(task_id).attempt for task_id in (spent, hopeless)] == [2, 1]
    await ledger.retry(spent)
    await ledger.run_until_idle()
    assert ledger.statuses[spent] is Status.COMPLETED


async def test_a_timeout_is_a_timeout(ledger: LedgerTest) -> None:
    ledger.time_out_next("echo")

    task_id = await ledger.submit("echo", max_attempts=1)
    await ledger.run_until_idle()

    assert (ledger.task(task_id).status, ledger.task(task_id).cause) == (Status.FAILED, Cause.TIMEOUT)


async def test_a_pending_and_a_running_task_are_cancelled(ledger: LedgerTest) -> None:
    @ledger.handler("hang")
    async def hang(_value: object, context: TaskContext) -> None:
        await ledger.cancel(context.task_id)
        await asyncio.Event().wait()

    pending = await ledger.submit("echo", delay=60)
    await ledger.cancel(pending)
    running = await ledger.submit("hang")
    await ledger.run_until_idle()

    assert set(ledger.statuses.values()) == {Status.CANCELLED}
    assert _types(ledger, 1)[-2:] == ["cancel_requested", "cancelled"]
    assert ledger.task(running).attempt == 1


async def test_tasks_wait_for_others_and_follow_their_end(ledger: LedgerTest) -> None:
    ledger.fail_next("fetch", NonRetryable("gone"))
    ledger.handler("fetch")(_nothing)
    parent = await ledger.submit("echo", "first")
    child = await ledger.submit("echo", "second", queue="other", after=[parent])
    lost = await ledger.submit("fetch")
    orphan = await ledger.submit("echo", after=[lost])
    await ledger.run_until_idle()

    assert [ledger.statuses[one] for one in (child, orphan)] == [Status.COMPLETED, Status.CANCELLED]


async def test_a_handler_that_does_not_end_is_said_by_name(ledger: LedgerTest) -> None:
    ledger.handler("hang")(_hang)
    await ledger.submit("hang")

    with pytest.raises(StillBusyError, match="hang"):
        await ledger.run_until_idle(seconds_max=0.2)


async def _nothing(_value: object) -> None:
    """Do nothing."""


async def _hang(_value: object) -> None:
    await asyncio.Event().wait()
