import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
import pytest
from pydantic import BaseModel, JsonValue
from typing_extensions import TypedDict

from ledger.specification import Backoff
from ledger.task import Task
from ledger.task_words import Status
from tests.unit.worker_bed import Bed, bed, eventually, working
from worker.context import TaskContext
from worker.errors import NonRetryable, RetryAfter
from worker.outcomes import full_jitter_seconds


@pytest.fixture
def stand() -> Bed:
    return bed()


async def _run(stand: Bed, kind: str, **specification: object) -> Task:
    task_id = await stand.submit(kind, **specification)
    async with working(stand):
        return await stand.finished(task_id)


def _raising(stand: Bed, kind: str, error: Callable[[], BaseException], **options: object) -> list[int]:
    attempts: list[int] = []

    @stand.registry.task_handler(kind, **options)  # type: ignore[arg-type]  # each keyword is an option of its own type
    async def fail(_value: object, context: TaskContext) -> None:
        attempts.append(context.attempt)
        raise error()

    return attempts


def _error(task: Task) -> dict[str, JsonValue]:
    assert task.error is not None
    return task.error


async def test_an_exception_is_retried_until_the_attempts_are_used_up(stand: Bed) -> None:
    attempts = _raising(stand, "fail", lambda: ValueError("no such order"))

    task = await _run(stand, "fail", max_attempts=3)

    assert attempts == [1, 2, 3]
    assert (task.status, task.failures, task.cause) == (Status.FAILED, 3, "error")
    assert (_error(task)["type"], _error(task)["message"]) == ("ValueError", "no such order")


async def test_a_task_that_succeeds_at_last_is_completed(stand: Bed) -> None:
    @stand.registry.task_handler("flaky")
    def flaky(_value: object, context: TaskContext) -> int:
        if context.attempt < 3:
            raise OSError
        return context.attempt

    task = await _run(stand, "flaky")

    assert (task.status, task.result, task.failures) == (Status.COMPLETED, 3, 2)


async def test_the_traceback_begins_in_the_handler(stand: Bed) -> None:
    def plain(_value: object) -> None:
        raise ValueError

    stand.registry.task_handler("plain")(plain)
    _raising(stand, "coroutine", ValueError)
    tasks = [await stand.submit(kind, max_attempts=1) for kind in ("plain", "coroutine")]

    async with working(stand):
        tracebacks = [str(_error(await stand.finished(task_id))["traceback"]) for task_id in tasks]

    for text in tracebacks:
        assert text.startswith("Traceback (most recent call last):\n")
        assert "worker/execution.py" not in text
        assert __file__ in text


async def test_non_retryable_fails_the_task_at_once(stand: Bed) -> None:
    attempts = _raising(stand, "fail", lambda: NonRetryable("the card was stolen"))

    task = await _run(stand, "fail", max_attempts=10)

    assert attempts == [1]
    assert task.status is Status.FAILED
    assert _error(task)["message"] == "the card was stolen"


async def test_retry_after_chooses_the_delay(stand: Bed) -> None:
    _raising(stand, "busy", lambda: RetryAfter(3600, "the shop is closed"))
    task_id = await stand.submit("busy")

    async with working(stand):
        await stand.until(lambda task: task.failures == 1, task_id)

    task = stand.task(task_id)
    assert task.status is Status.PENDING
    assert not task.ready
    assert task.release_at is not None
    assert abs(task.release_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)


@pytest.mark.parametrize("seconds", [float("nan"), float("-inf"), -1, 0])
async def test_retry_after_less_than_no_time_is_retried_at_once(stand: Bed, seconds: float) -> None:
    attempts = _raising(stand, "busy", lambda: RetryAfter(seconds))

    task = await _run(stand, "busy", max_attempts=2)

    assert attempts == [1, 2]
    assert task.status is Status.FAILED


async def test_an_ending_that_cannot_be_understood_fails_the_task_and_does_not_leave_it_running(
    stand: Bed,
) -> None:
    def nonsense() -> RetryAfter:
        error = RetryAfter(1)
        error.seconds = "soon"  # type: ignore[assignment]  # that is the point
        return error

    _raising(stand, "busy", nonsense)

    task = await _run(stand, "busy")

    assert (task.status, _error(task)["type"]) == (Status.FAILED, "TypeError")


async def test_the_delay_of_a_retry_is_drawn_between_nothing_and_the_doubled_base(stand: Bed) -> None:
    _raising(stand, "fail", ValueError)
    task_ids = [await stand.submit("fail", backoff=Backoff(base_seconds=100, cap_seconds=300)) for _ in range(20)]

    async with working(stand):
        for task_id in task_ids:
            await stand.until(lambda task: task.failures == 1, task_id)

    releases = [stand.task(task_id).release_at for task_id in task_ids]
    delays = [(release - datetime.now(UTC)).total_seconds() for release in releases if release is not None]
    assert all(-5 < delay <= 100 for delay in delays)
    assert len(set(delays)) == 20


@pytest.mark.parametrize(("failures", "most"), [(0, 1), (1, 2), (5, 32), (9, 300), (100_000, 300)])
def test_full_jitter_stays_below_the_doubled_base_and_the_cap(failures: int, most: float) -> None:
    drawn = [full_jitter_seconds(base_seconds=1, cap_seconds=300, failures=failures) for _ in range(500)]

    assert 0 <= min(drawn) < most / 4
    assert most * 3 / 4 < max(drawn) <= most


async def test_the_handlers_bound_of_attempts_counts_where_it_is_lower(stand: Bed) -> None:
    low = _raising(stand, "low", ValueError, max_attempts=2)
    high = _raising(stand, "high", ValueError, max_attempts=9)

    await _run(stand, "low", max_attempts=5)
    await _run(stand, "high", max_attempts=3)

    assert (low, high) == ([1, 2], [1, 2, 3])


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
@pytest.mark.parametrize("is_plain", [True, False])
async def test_whatever_a_handler_raises_ends_its_attempt_and_not_the_worker(
    stand: Bed, error: BaseException, *, is_plain: bool
) -> None:
    def plain(_value: object) -> None:
        raise error

    async def coroutine(_value: object) -> None:
        raise error

    stand.registry.task_handler("exit")(plain if is_plain else coroutine)
    task_id = await stand.submit("exit", max_attempts=1)
    async with working(stand):
        task = await stand.finished(task_id)
        assert (await stand.finished(await stand.submit())).status is Status.COMPLETED

    assert (task.status, _error(task)["type"]) == (Status.FAILED, type(error).__name__)


async def test_an_unknown_kind_fails_the_task_at_once_and_says_what_is_known(stand: Bed) -> None:
    task = await _run(stand, "nobody.knows", max_attempts=5)

    assert (task.status, task.attempt) == (Status.FAILED, 1)
    assert _error(task)["type"] == "HandlerNotFoundError"
    assert _error(task)["message"] == (
        "no handler for kind 'nobody.knows'; this worker knows: default, echo, fail, sleep"
    )


async def test_an_async_handler_is_cancelled_at_the_tasks_deadline(stand: Bed) -> None:
    cancelled = asyncio.Event()

    @stand.registry.task_handler("hang")
    async def hang(_value: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    task = await _run(stand, "hang", timeout_seconds=0.1, max_attempts=1)

    assert cancelled.is_set()
    assert (task.status, task.cause, task.failures) == (Status.FAILED, "timeout", 1)
    assert _error(task)["message"] == "the attempt did not end within its 0.1 s"


async def test_the_handlers_timeout_counts_where_it_is_shorter_and_a_timeout_is_retried(stand: Bed) -> None:
    attempts: list[int] = []

    @stand.registry.task_handler("hang", timeout_seconds=0.1)
    async def hang(_value: object, context: TaskContext) -> None:
        attempts.append(context.attempt)
        await asyncio.Event().wait()

    task = await _run(stand, "hang", timeout_seconds=3600, max_attempts=2)

    assert attempts == [1, 2]
    assert (task.status, task.cause) == (Status.FAILED, "timeout")


async def test_a_handler_that_swallows_its_cancellation_ends_on_time_and_its_late_result_is_kept_as_evidence(
    stand: Bed,
) -> None:
    release = asyncio.Event()

    @stand.registry.task_handler("stubborn")
    async def stubborn(_value: object) -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "too late"

    task_id = await stand.submit("stubborn", timeout_seconds=0.1, max_attempts=1)
    async with working(stand):
        task = await stand.finished(task_id)
        release.set()
        await _until_a_stale_write(stand, task_id)

    assert (task.status, task.cause) == (Status.FAILED, "timeout")
    (write,) = await stand.store.read_stale_writes(task_id)
    assert (write.type, write.attempt, write.status) == ("task.completed", 1, "FAILED")
    assert orjson.loads(write.data) == {"attempt": 1, "result": "too late"}


async def test_a_plain_handler_past_its_deadline_is_told_and_its_late_result_is_refused(stand: Bed) -> None:
    release = threading.Event()
    contexts: list[TaskContext] = []

    @stand.registry.task_handler("block")
    def block(_value: object, context: TaskContext) -> str:
        contexts.append(context)
        if context.attempt == 1:
            assert release.wait(10)
            return f"too late, and told so: {context.cancelled}"
        return "the second attempt's"

    task_id = await stand.submit("block", timeout_seconds=0.1)
    async with working(stand) as worker:
        task = await stand.finished(task_id)
        release.set()
        await _until_a_stale_write(stand, task_id)

    assert (task.status, task.result, task.attempt) == (Status.COMPLETED, "the second attempt's", 2)
    (write,) = await stand.store.read_stale_writes(task_id)
    assert (write.attempt, write.current_attempt, write.worker_id) == (1, 2, str(worker.worker_id))
    assert orjson.loads(write.data)["result"] == "too late, and told so: True"
    assert stand.types(task_id).count("completed") == 1


async def test_a_handler_that_does_not_stop_keeps_its_slot() -> None:
    stand = bed(worker_concurrency=1)
    release = threading.Event()

    @stand.registry.task_handler("block")
    def block(_value: object) -> None:
        assert release.wait(10)

    blocked = await stand.submit("block", timeout_seconds=0.1, max_attempts=1)
    async with working(stand):
        await stand.finished(blocked)
        other = await stand.submit()
        await eventually(lambda: stand.broker.depth("default") == 1, what="the other one waits in the queue")
        assert stand.types(other) == ["submitted"]
        release.set()
        await stand.finished(other)


class Point(BaseModel):
    """A model with a field that JSON has no word for."""

    x: int
    when: datetime


@dataclass
class Pair:
    """A dataclass of models."""

    left: int
    right: list[Point]


class Named(TypedDict):
    """A typed dictionary."""

    name: str


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("result", "stored"),
    [
        (None, None),
        ("text", "text"),
        ([1, 2.5, True, None], [1, 2.5, True, None]),
        ((1, 2), [1, 2]),
        (Point(x=1, when=NOON), {"x": 1, "when": "2026-01-01T12:00:00Z"}),
        (Pair(1, [Point(x=2, when=NOON)]), {"left": 1, "right": [{"x": 2, "when": "2026-01-01T12:00:00Z"}]}),
        ({"named": Named(name="Ada")}, {"named": {"name": "Ada"}}),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    ],
)
async def test_a_result_is_stored_as_json(stand: Bed, result: object, stored: JsonValue) -> None:
    @stand.registry.task_handler("answer")
    async def answer(_value: object) -> object:
        return result

    task = await _run(stand, "answer")

    assert (task.status, task.result) == (Status.COMPLETED, stored)


def _circular() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


def _deep() -> list[object]:
    value: list[object] = []
    for _ in range(100):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (object(), "Unable to serialize unknown type: <class 'object'>"),
        (_circular(), "Circular reference detected"),
        (_deep(), "nested at most"),
        ("a\0b", "text without NUL characters"),
        (Named(name="a\0b"), "text without NUL characters"),
        ("\ud800", "valid Unicode"),
        (float("nan"), "a finite number"),
        (2**70, "integers of at most 64 bits"),
        (b"\xff", "UnicodeDecodeError"),
        ("x" * 1001, "it must be at most 1000 bytes of JSON (LEDGER_RESULT_BYTES_MAX), got 1003"),
    ],
)
async def test_a_result_that_cannot_be_stored_fails_the_task_at_once_and_says_why(
    result: object, reason: str
) -> None:
    stand = bed(result_bytes_max=1000)

    @stand.registry.task_handler("answer")
    async def answer(_value: object) -> object:
        return result

    task = await _run(stand, "answer", max_attempts=5)

    assert (task.status, task.attempt, _error(task)["type"]) == (Status.FAILED, 1, "ResultRefusedError")
    assert str(_error(task)["message"]).startswith("the result cannot be stored: ")
    assert reason in str(_error(task)["message"])


async def test_a_result_of_exactly_the_bound_is_stored() -> None:
    stand = bed(result_bytes_max=1000)
    task = await _run(stand, "echo", input="x" * 998)

    assert task.status is Status.COMPLETED


class UnprintableError(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "error", [UnprintableError(), ValueError("a\0b\ud800"), ValueError("x" * 1_000_000), RecursionError()]
)
async def test_whatever_an_error_says_is_stored_within_its_bounds(stand: Bed, error: Exception) -> None:
    _raising(stand, "fail", lambda: error)

    task = await _run(stand, "fail", max_attempts=1)

    assert task.status is Status.FAILED
    assert _error(task)["type"] == type(error).__name__
    assert len(str(_error(task)["message"])) <= 10_050
    assert len(str(_error(task)["traceback"])) <= 20_000
    orjson.dumps(task.error)


async def test_a_long_traceback_keeps_its_beginning_and_its_end(stand: Bed) -> None:
    _raising(stand, "fail", lambda: ValueError("x" * 100_000 + " the end"))

    task = await _run(stand, "fail", max_attempts=1)

    text = str(_error(task)["traceback"])
    assert text.startswith("Traceback (most recent call last):")
    assert text.endswith(" the end\n")


async def test_an_input_that_does_not_fit_fails_the_task_at_once_and_names_the_field(stand: Bed) -> None:
    @stand.registry.task_handler("move")
    async def move(_to: Point) -> None: ...

    task = await _run(stand, "move", input={"x": "far", "when": NOON.isoformat()}, max_attempts=5)

    assert (task.status, task.attempt, _error(task)["type"]) == (Status.FAILED, 1, "InvalidInputError")
    assert _error(task)["message"] == (
        "the input does not fit the handler of 'move': input.x: Input should be a valid integer, "
        "unable to parse string as an integer, got 'far'"
    )


async def _until_a_stale_write(stand: Bed, task_id: UUID) -> None:
    async with asyncio.timeout(10):
        while not await stand.store.read_stale_writes(task_id):
            await asyncio.sleep(0.005)
