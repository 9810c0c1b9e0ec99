"""Isolated handlers: they answer as in a thread, and are killed where a thread could only be told."""

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from inspect import unwrap
from pathlib import Path

import orjson
import pytest
from asyncpg.pgproto.pgproto import UUID as DriverUUID  # noqa: N811 - it is told from the standard library's
from pydantic import JsonValue

from ledger.errors import ConfigurationError
from ledger.task import Task
from ledger.task_words import Status
from tests.services.processes import is_running
from tests.unit import isolated_handlers as handlers
from tests.unit.worker_bed import CLIENT, Bed, bed, beside, eventually, working
from worker.child_messages import Job, decode_job, encode_job
from worker.importable import Address
from worker.registry import Registry


@pytest.fixture
def stand() -> Bed:
    return _isolated(bed())


def _isolated(stand: Bed) -> Bed:
    for handler in (
        handlers.double, handlers.pid, handlers.move, handlers.answer, handlers.die, handlers.fail,
        handlers.spin, handlers.spin_with_company, handlers.look, handlers.tell,
    ):  # fmt: skip
        stand.registry.task_handler(handler.__name__, isolation="process")(handler)
    return stand


def _error(task: Task) -> dict[str, JsonValue]:
    assert task.error is not None
    return task.error


async def _pids(path: Path) -> list[int]:
    await eventually(path.exists, what="the handler runs")
    return _read_pids(path)


def _read_pids(path: Path) -> list[int]:
    return [int(text) for text in path.read_text().split()]


async def test_a_handler_runs_in_another_process_which_is_kept_for_the_next_task(stand: Bed) -> None:
    async with working(stand):
        first = (await stand.finished(await stand.submit("pid"))).result
        second = (await stand.finished(await stand.submit("pid"))).result
        doubled = (await stand.finished(await stand.submit("double", input="21"))).result
        score = "open('/proc/self/oom_score_adj').read()"
        first_to_go = (await stand.finished(await stand.submit("answer", input=score))).result

    assert first == second != os.getpid()
    assert doubled == 42
    assert first_to_go == "500\n"
    assert not is_running(int(str(first)))


async def test_a_process_is_replaced_after_its_number_of_tasks_and_when_it_died_between_two() -> None:
    stand = _isolated(bed(process_tasks_max=2))

    async with working(stand):
        pids = [int(str((await stand.finished(await stand.submit("pid"))).result)) for _ in range(3)]
        os.kill(pids[2], 9)
        await eventually(lambda: _is_dead(pids[2]), what="it died, and every thread of it")
        after = await stand.finished(await stand.submit("pid", max_attempts=1))

    assert pids[0] == pids[1] != pids[2]
    assert (after.status, after.failures) == (Status.COMPLETED, 0)


def _is_dead(pid: int) -> bool:
    return not is_running(pid) and len(list(Path(f"/proc/{pid}/task").iterdir())) == 1


def test_a_job_goes_to_its_process_whatever_class_the_driver_has_for_ids() -> None:
    job = Job(
        address=Address(module="m", name="n"),
        kind="k",
        input={"a": 1},
        task_id=DriverUUID("01a20cad-7423-7578-abdd-be0ca3bcb83a"),
        attempt=2,
        queue="q",
        tags=("t",),
        deadline=datetime(2026, 1, 2, tzinfo=UTC),
        result_bytes_max=10,
        log_context={},
    )

    assert decode_job(orjson.loads(encode_job(job))["job"]) == job


async def test_a_process_that_nobody_needs_ends() -> None:
    stand = _isolated(bed(process_idle_seconds=0.05))

    async with working(stand):
        pid = int(str((await stand.finished(await stand.submit("pid"))).result))
        await eventually(lambda: not is_running(pid), what="it ended")


@pytest.mark.parametrize("how", ["cancel", "deadline", "stop", "cut"])
async def test_a_handler_that_looks_at_nothing_is_killed_with_all_that_it_started(
    how: str, tmp_path: Path
) -> None:
    stand = _isolated(bed(shutdown_grace_seconds=0.05, worker_concurrency=1))
    path = tmp_path / "pids"
    worker = stand.worker()

    async with beside(stand.relay()):
        run = asyncio.create_task(worker.run())
        await stand.finished(await stand.submit("pid"))  # the process is there before the deadline runs
        task_id = await stand.submit(
            "spin_with_company",
            input=str(path),
            timeout_seconds=0.5 if how == "deadline" else 60.0,
            max_attempts=1,
        )
        pids = await _pids(path)
        if how == "cancel":
            await stand.commands.cancel(task_id, reason="", origin=CLIENT)
        elif how == "cut":
            run.cancel()
        elif how == "stop":
            await worker.stop()
        await eventually(lambda: not any(map(is_running, pids)), what="they are gone")
        await stand.until(lambda task: task.status is not Status.RUNNING, task_id)
        if how in ("cancel", "deadline"):
            assert (await stand.finished(await stand.submit())).status is Status.COMPLETED  # the slot is free
            await worker.stop()
        await asyncio.wait([run])

    task = stand.task(task_id)
    assert len(pids) == 2
    assert (task.status, task.cause) == {
        "cancel": (Status.CANCELLED, None),
        "deadline": (Status.FAILED, "timeout"),
        "stop": (Status.PENDING, "interrupted"),
        "cut": (Status.PENDING, "interrupted"),
    }[how]
    assert task.failures == (how == "deadline")
    assert await stand.store.read_stale_writes(task_id) == []


async def test_a_handler_that_looks_has_a_moment_to_clean_up_and_its_process_is_kept(tmp_path: Path) -> None:
    stand = _isolated(bed(process_stop_seconds=30))
    path = tmp_path / "pids"
    task_id = await stand.submit("look", input=str(path))

    async with working(stand):
        (pid,) = await _pids(path)
        await stand.commands.cancel(task_id, reason="", origin=CLIENT)
        task = await stand.finished(task_id)
        next_pid = (await stand.finished(await stand.submit("pid"))).result

    assert task.status is Status.CANCELLED
    assert (tmp_path / "cleaned").exists()
    assert next_pid == pid


async def test_the_context_works_in_the_other_process(
    stand: Bed, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async with working(stand):
        task_id = await stand.submit("tell", input=7, tags=("tenant:a",))
        task = await stand.finished(task_id)
        spinning = await stand.submit("spin", input=str(tmp_path / "pids"))
        await stand.until(lambda task: task.progress == 0.25, spinning)
        await stand.commands.cancel(spinning, reason="", origin=CLIENT)
        await stand.finished(spinning)

    assert task.result == {
        "task_id": str(task_id),
        "attempt": 1,
        "kind": "tell",
        "queue": "default",
        "tags": ["tenant:a"],
        "deadline": _deadline(task),
        "cancelled": False,
    }
    assert stand.task(spinning).progress_message == "spinning"
    written = capfd.readouterr()
    assert "printed 7\n" in written.err
    assert "handler.said" in written.err
    assert str(task_id) in written.err
    assert "7" not in written.out.split()


def _deadline(task: Task) -> str:
    assert isinstance(task.result, dict)
    return str(task.result["deadline"])


async def test_a_process_that_dies_fails_its_attempt_which_is_retried(stand: Bed) -> None:
    attempts = {"exit": 2, "segfault": 1, "killed": 1}

    async with working(stand):
        task_ids = [await stand.submit("die", input=how, max_attempts=most) for how, most in attempts.items()]
        tasks = [await stand.finished(task_id) for task_id in task_ids]

    assert [(task.status, task.failures, task.cause) for task in tasks] == [
        (Status.FAILED, failures, "error") for failures in attempts.values()
    ]
    assert {_error(task)["type"] for task in tasks} == {"ProcessDiedError"}
    assert [_error(task)["message"] for task in tasks] == [
        "the process of the handler died: exit code 3",
        "the process of the handler died: SIGSEGV",
        "the process of the handler died: SIGKILL (the machine may be out of memory)",
    ]


async def test_what_a_handler_raises_there_comes_back_and_steers_the_retry(stand: Bed) -> None:
    async with working(stand):
        failed = [
            await stand.finished(await stand.submit("fail", input=how, max_attempts=2))
            for how in ("hopeless", "interrupt", "no such order")
        ]
        died = await stand.finished(await stand.submit("die", input="politely", max_attempts=1))
        later = await stand.submit("fail", input="later", max_attempts=2)
        await stand.until(lambda task: task.failures == 1, later)

    assert [(_error(task)["type"], task.failures) for task in failed] == [
        ("NonRetryable", 1),
        ("KeyboardInterrupt", 2),
        ("ValueError", 2),
    ]
    assert _error(failed[2])["message"] == "no such order"
    traceback = str(_error(failed[2])["traceback"])
    assert traceback.startswith("Traceback (most recent call last):\n")
    assert handlers.__file__ in traceback
    assert "isolated.py" not in traceback.replace(handlers.__file__, "")
    assert _error(died)["type"] == "SystemExit"
    assert not stand.task(later).ready


async def test_results_and_inputs_are_checked_as_in_a_thread() -> None:
    stand = _isolated(bed(result_bytes_max=1000))
    expressions = ["object()", "float('nan')", "2**70", "'a\\0b'", "'x' * 1001"]
    noon = "2026-01-01T12:00:00Z"

    async with working(stand):
        refused = [
            await stand.finished(await stand.submit("answer", input=text, max_attempts=5)) for text in expressions
        ]
        stored = await stand.finished(await stand.submit("answer", input="'x' * 998"))
        moved = await stand.finished(await stand.submit("move", input={"x": 1, "when": noon}))
        astray = await stand.finished(await stand.submit("move", input={"x": "far", "when": noon}))

    for task, reason in zip(
        refused,
        (
            "Unable to serialize unknown type: <class 'object'>",
            "result must be a finite number, got nan",
            "result must be integers of at most 64 bits",
            "text without NUL characters",
            "it must be at most 1000 bytes of JSON (LEDGER_RESULT_BYTES_MAX), got 1003",
        ),
        strict=True,
    ):
        assert (task.status, task.attempt, _error(task)["type"]) == (Status.FAILED, 1, "ResultRefusedError")
        assert reason in str(_error(task)["message"])
    assert stored.status is Status.COMPLETED
    assert moved.result == {"x": 1, "when": noon}
    assert (astray.attempt, _error(astray)["type"]) == (1, "InvalidInputError")
    assert "input.x: Input should be a valid integer" in str(_error(astray)["message"])


def _local() -> Callable[[object], None]:
    def handle(_value: object) -> None: ...

    return handle


class Callables:
    """Things that cannot be imported by their name."""

    def method(self, value: object) -> None:
        """Do nothing."""


def _of_the_script(_value: object) -> None: ...


_of_the_script.__module__ = "__main__"


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_local(), "another process imports it, so it must be a function of a module"),
        (lambda: None, "another process imports it, so it must be a function of a module"),
        (partial(handlers.double, 1), "another process imports it, so it must be a function of a module"),
        (Callables().method, "another process imports it, so it must be a function of a module"),
        (_of_the_script, "it stands in the script that runs; move it to a module of its own"),
        (handlers.coroutine, "it is async, and a process of its own runs plain functions"),
    ],
)
def test_what_another_process_cannot_run_is_refused_when_it_is_registered(
    function: Callable[..., object], reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot run with isolation='process': {reason}"):
        Registry().task_handler("k", isolation="process")(function)


def test_an_isolation_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="isolation must be 'process' or None, got 'container'"):
        Registry().task_handler("k", isolation="container")(handlers.double)  # type: ignore[arg-type]  # the point


def test_a_handler_that_another_decorator_hides_is_refused_once_its_module_is_imported() -> None:
    registry = Registry()
    registry.task_handler("k", isolation="process")(handlers.double)
    registry.check()

    registry.task_handler("hidden", isolation="process")(unwrap(handlers.hidden))

    with pytest.raises(ConfigurationError, match="something else has its name; put @task_handler above"):
        registry.check()
