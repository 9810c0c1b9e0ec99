"""The worker as a process: it starts, waits for what is not there yet, stops as asked, and says why it ends."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from secrets import token_hex
from signal import SIGINT, SIGTERM
from uuid import UUID

import pytest

from ledger.bootstrap import Ledger
from ledger.task_words import Status
from tests.integration.given import eventually, fetch, opened, submitted, types_of
from tests.services.cluster import Cluster, RoleProcess
from tests.services.processes import stable_port

_ALIVE = "SELECT worker_id FROM ledger.workers WHERE stopped_at IS NULL"
_EXIT_SECONDS_MAX = 20.0


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


@pytest.fixture
def queue() -> str:
    """A queue of the test's own: the broker serves the whole session."""
    return f"q-{token_hex(4)}"


@pytest.fixture
def cluster(database_url: str, rabbitmq_url: str, tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(database_url, rabbitmq_url, tmp_path / "logs") as cluster:
        yield cluster


async def _until(ledger: Ledger, task_id: UUID, status: Status) -> None:
    async def is_there() -> bool:
        return (await ledger.commands.load(task_id)).status is status

    await eventually(is_there, what=f"{task_id} is {status}")


async def _exit_code(role: RoleProcess) -> int:
    code = await asyncio.to_thread(role.process.wait, _EXIT_SECONDS_MAX)
    role.log.close()
    return code


def _output(role: RoleProcess) -> str:
    return Path(role.log.name).read_text("utf-8")


async def test_a_worker_runs_the_handlers_of_an_app_through_rabbitmq_and_finishes_what_runs_when_asked_to_stop(
    ledger: Ledger, cluster: Cluster, queue: str, tmp_path: Path
) -> None:
    (tmp_path / "app_of_the_test.py").write_text(_APP)
    cluster.start("relay")
    worker = cluster.start(
        "worker", "--app", "app_of_the_test", "--queue", queue, "--concurrency", "4", "--name", "w7",
        PYTHONPATH=f"{tmp_path}:{Path(__file__).parents[2]}",
    )  # fmt: skip
    task_ids = await submitted(ledger, 4, queue=queue, kind="test.wait", input=str(tmp_path / "released"))
    for task_id in task_ids:
        await _until(ledger, task_id, Status.RUNNING)

    worker.process.send_signal(SIGTERM)
    await eventually(lambda: _says(worker, "worker.stopping"), what="it has begun to stop")
    (tmp_path / "released").touch()

    assert await _exit_code(worker) == 0
    assert [await types_of(ledger, task_id) for task_id in task_ids] == [["submitted", "started", "completed"]] * 4
    assert await fetch(ledger, _ALIVE) == []
    assert '"name": "w7"' in _output(worker)


_APP = """
import time
from pathlib import Path

from worker.registry import task_handler


@task_handler("test.wait")
def wait(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


@task_handler("test.hang")
def hang(value: object) -> None:
    time.sleep(600)
"""


@pytest.mark.parametrize("kind", ["sleep", "test.hang"])
async def test_what_outlasts_the_grace_is_interrupted_and_the_process_ends_although_a_thread_hangs(
    ledger: Ledger, cluster: Cluster, queue: str, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "app_of_the_test.py").write_text(_APP)
    cluster.start("relay")
    worker = cluster.start(
        "worker", "--app", "app_of_the_test", "--queue", queue,
        PYTHONPATH=f"{tmp_path}:{Path(__file__).parents[2]}", LEDGER_SHUTDOWN_GRACE_SECONDS="0.5",
    )  # fmt: skip
    (task_id,) = await submitted(ledger, queue=queue, kind=kind, input=600, max_attempts=1)
    await _until(ledger, task_id, Status.RUNNING)

    worker.process.send_signal(SIGTERM)

    assert await _exit_code(worker) == 0
    assert await types_of(ledger, task_id) == ["submitted", "started", "failed", "released"]
    assert (await ledger.commands.load(task_id)).failures == 0


async def test_a_second_signal_ends_the_grace(ledger: Ledger, cluster: Cluster, queue: str) -> None:
    cluster.start("relay")
    worker = cluster.start("worker", "--queue", queue, LEDGER_SHUTDOWN_GRACE_SECONDS="600")
    (task_id,) = await submitted(ledger, queue=queue, kind="sleep", input=600)
    await _until(ledger, task_id, Status.RUNNING)

    worker.process.send_signal(SIGTERM)
    await eventually(lambda: _says(worker, "worker.stopping"), what="it has begun to stop")
    worker.process.send_signal(SIGINT)

    assert await _exit_code(worker) == 130
    assert await types_of(ledger, task_id) == ["submitted", "started", "failed", "released"]


async def _says(role: RoleProcess, what: str) -> bool:
    return what in _output(role)


@pytest.mark.parametrize(
    ("environment", "arguments", "code", "sentence"),
    [
        ({"DATABASE_URL": ""}, (), 2, "DATABASE_URL must be set"),
        ({}, ("--concurrency", "0"), 2, "LEDGER_WORKER_CONCURRENCY must be at least 1, got 0"),
        ({}, ("--app", "no_such_app"), 2, "the app 'no_such_app' (--app, LEDGER_APPS) cannot be imported"),
        ({"RABBITMQ_URL": "amqp://guest:guest@127.0.0.1:1/"}, (), 4, "127.0.0.1:1"),
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, (), 4, "the database at"),
    ],
)
async def test_a_worker_that_cannot_start_ends_with_a_sentence_and_a_code(
    cluster: Cluster, environment: dict[str, str], arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    worker = cluster.start("worker", *arguments, **{"LEDGER_STARTUP_WAIT_SECONDS": "0.2", **environment})

    assert await _exit_code(worker) == code
    assert sentence in _output(worker)
    assert "Traceback" not in _output(worker)


async def test_a_worker_waits_for_a_broker_that_is_not_there_yet_until_it_is_stopped(cluster: Cluster) -> None:
    worker = cluster.start("worker", RABBITMQ_URL=f"amqp://guest:guest@127.0.0.1:{stable_port()}/")
    await eventually(lambda: _says(worker, "startup.waiting"), what="it says that it waits")

    worker.process.send_signal(SIGTERM)

    assert await _exit_code(worker) == 0
