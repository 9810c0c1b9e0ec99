"""Isolated handlers of a real worker process: a cancel takes effect at once, and no end leaves one behind."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from secrets import token_hex
from signal import SIGKILL
from uuid import UUID

import pytest

from ledger.bootstrap import Ledger
from ledger.task_words import Status
from tests.integration.given import CLIENT, eventually, opened, submitted, types_of
from tests.services.cluster import Cluster, RoleProcess
from tests.services.processes import is_running

_APP = """
import os
import re
from pathlib import Path

from worker.registry import task_handler


@task_handler("test.hold", isolation="process")
def hold(path: Path) -> None:
    Path(f"{path}.half").write_text(str(os.getpid()))
    Path(f"{path}.half").replace(path)
    re.fullmatch("(a*)*b", "a" * 64)  # for ever, and no other thread of this process gets a turn
"""


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


@pytest.fixture
def cluster(database_url: str, rabbitmq_url: str, tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(database_url, rabbitmq_url, tmp_path / "logs") as cluster:
        cluster.start("relay")
        yield cluster


@pytest.fixture
def pids() -> Iterator[list[int]]:
    """The processes that handlers ran in; whatever should be gone and is not, is gone after the test."""
    pids: list[int] = []
    yield pids
    for pid in filter(is_running, pids):
        os.kill(pid, SIGKILL)


def _worker(cluster: Cluster, directory: Path, queue: str) -> RoleProcess:
    (directory / "app_of_the_test.py").write_text(_APP)
    return cluster.start(
        "worker", "--app", "app_of_the_test", "--queue", queue, "--concurrency", "1",
        PYTHONPATH=f"{directory}:{Path(__file__).parents[2]}", LEDGER_SHUTDOWN_GRACE_SECONDS="0.2",
    )  # fmt: skip


async def _held(ledger: Ledger, queue: str, path: Path) -> tuple[UUID, int]:
    (task_id,) = await submitted(ledger, queue=queue, kind="test.hold", input=str(path), max_attempts=1)

    async def runs() -> bool:
        return bool(_numbers_in(path))

    await eventually(runs, what="the handler runs")
    return task_id, _numbers_in(path)[0]


def _numbers_in(path: Path) -> list[int]:
    return [int(path.read_text())] if path.exists() else []


async def _gone(pid: int) -> None:
    async def is_gone() -> bool:
        return not is_running(pid)

    await eventually(is_gone, what=f"the process {pid} of the handler is gone")


async def test_a_cancel_kills_the_handler_and_frees_the_slot_and_a_killed_worker_takes_its_handlers_along(
    ledger: Ledger, cluster: Cluster, tmp_path: Path, pids: list[int]
) -> None:
    queue = f"q-{token_hex(4)}"
    worker = _worker(cluster, tmp_path, queue)
    cancelled, first = await _held(ledger, queue, tmp_path / "first")
    await ledger.commands.cancel(cancelled, reason="", origin=CLIENT)
    _, second = await _held(ledger, queue, tmp_path / "second")  # there is one slot

    pids += [first, second]

    worker.kill()

    await _gone(first)
    await _gone(second)
    requested, ended = (await ledger.store.read_stream(cancelled))[-2:]
    assert (await ledger.commands.load(cancelled)).status is Status.CANCELLED
    assert (ended.recorded_at - requested.recorded_at).total_seconds() < 1.5


async def test_a_worker_that_is_stopped_interrupts_its_isolated_handlers_and_leaves_none(
    ledger: Ledger, cluster: Cluster, tmp_path: Path, pids: list[int]
) -> None:
    queue = f"q-{token_hex(4)}"
    worker = _worker(cluster, tmp_path, queue)
    task_id, pid = await _held(ledger, queue, tmp_path / "first")
    pids.append(pid)

    code = worker.stop()

    assert code == 0
    assert not is_running(pid)
    assert await types_of(ledger, task_id) == ["submitted", "started", "failed", "released"]
