"""Hypothesis strategies for random valid histories: the Task aggregate, driven by random commands.

Every history is one that the aggregate permits, in the shape in which it is appended. Task ids are new with each
draw and no part of what Hypothesis remembers, so that examples can share one database and repeat in it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from hypothesis import strategies as st
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from ledger.codec import encode_pending
from ledger.payloads.cipher import KEY_BYTES, Cipher
from ledger.specification import Backoff, TaskSpecification
from ledger.store.records import NewEvent, Origin
from ledger.task import Task
from ledger.task_words import TENANT_TAG, Cause, HoldReason, ParentPolicy, ReleaseReason, Status, TaskError

COMMANDS_MAX = 16
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**64 - 1

Drawn = TypeVar("Drawn")
Draw = Callable[[st.SearchStrategy[Drawn]], Drawn]


@dataclass(frozen=True, slots=True)
class Step:
    """What one command appends: at once, or not at all."""

    expected_version: int
    events: tuple[NewEvent, ...]


@dataclass(frozen=True, slots=True)
class History:
    """A task from its submission on, command by command."""

    task_id: UUID
    steps: tuple[Step, ...]

    @property
    def types(self) -> list[str]:
        """The event types in their order, without their common prefix: this is what a failing test shows."""
        return [event.type.removeprefix("task.") for step in self.steps for event in step.events]

    def __repr__(self) -> str:
        return f"History({', '.join(self.types)})"


def texts(chars_max: int = 20) -> st.SearchStrategy[str]:
    """Return a strategy for text that JSON in Postgres can hold."""
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=chars_max)


def json_values() -> st.SearchStrategy[JsonValue]:
    """Return a strategy for JSON values that the ledger accepts."""
    leaves: st.SearchStrategy[JsonValue] = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(_INTEGER_MIN, _INTEGER_MAX),
        st.floats(allow_nan=False, allow_infinity=False),
        texts(),
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(8), inner, max_size=3),
        max_leaves=3,
    )


def task_errors() -> st.SearchStrategy[TaskError]:
    """Return a strategy for what goes wrong: any text, and what errors say with something in it that varies."""
    varying = st.sampled_from(
        ["17", "-3.5", "0x7f3a", "deadbeef01", "a@b.org", "10.0.0.7:80", "1, 2, 3", "é٣", "\n", ""]
    )
    quoted = st.sampled_from(
        ["'a b'", '"x"', "can't", "/srv/x.py:12", "http://h/p?q", f"({UUID(int=2**100)})", "C:\\t"]
    )
    message = st.builds("{} of {} at {}".format, quoted, varying, varying | texts())
    line = '  File "{}", line {}, in {}\n    work()\n'
    frames = st.builds(
        line.format,
        st.sampled_from(["/srv/app/mail.py", "C:\\app\\mail.py", "<string>", "é.py"]),
        st.integers(1, 99),
        st.sampled_from(["send", "Mail.send", "<lambda>"]),
    )
    traceback = st.lists(frames, max_size=2).map(lambda lines: f"Traceback:\n{''.join(lines)}ValueError: no")
    return st.builds(TaskError, type=texts(4), message=texts() | message, traceback=texts() | traceback)


def origins() -> st.SearchStrategy[Origin]:
    """Return a strategy for who causes an append, and in which story."""
    return st.builds(
        Origin,
        actor=st.sampled_from(["client", "sweeper", "scheduler", "user:ann", f"worker:{UUID(int=7)}"]),
        correlation_id=st.none() | st.sampled_from(["order-1", "order-2"]),
    )


def specifications() -> st.SearchStrategy[TaskSpecification]:
    """Return a strategy for everything that a client may ask for."""
    return st.builds(
        TaskSpecification,
        kind=st.sampled_from(["default", "mail.send", "a/b:c"]),
        queue=st.sampled_from(["default", "slow"]),
        input=json_values(),
        priority=st.integers(0, 9),
        run_at=st.none() | st.timedeltas(timedelta(days=-1), timedelta(days=30)).map(lambda delay: _EPOCH + delay),
        max_attempts=st.sampled_from([3, 2, 1, 5]),
        timeout_seconds=st.floats(0.1, 604_800.0),
        backoff=st.builds(Backoff, base_seconds=st.floats(0, 10), cap_seconds=st.floats(10, 100)),
        tags=st.lists(texts(12).filter(bool) | texts(4).map(TENANT_TAG.__add__), max_size=3).map(tuple),
        parent=st.none() | st.uuids(),
        key=st.none() | texts(8).filter(bool),
        unique_key=st.none() | texts(8).filter(bool),
        after=st.lists(st.uuids(), max_size=2, unique=True).map(tuple),
        on_parent_failure=st.sampled_from(ParentPolicy),
        erasable=st.booleans(),
    )


@st.composite
def histories(draw: Draw[object], commands_max: int = COMMANDS_MAX) -> History:
    """Return a strategy for a task that goes through any commands that its state permits."""
    now = _EPOCH
    hold = _drawn(draw, st.none() | st.sampled_from([HoldReason.PAUSED, HoldReason.LIMIT]))
    task = Task.submit(uuid7(), _drawn(draw, specifications()), now=now, hold=hold)
    steps = [_step(task, _drawn(draw, origins()))]
    for _ in range(_drawn(draw, st.sampled_from(range(commands_max + 1)))):
        now += timedelta(microseconds=_drawn(draw, st.integers(1, 10**8)))
        _command(draw, task, now)
        if task.pending_events:
            steps.append(_step(task, _drawn(draw, origins())))
    return History(task.id, tuple(steps))


def _step(task: Task, origin: Origin) -> Step:
    cipher = Cipher(task.id, bytes(KEY_BYTES)) if task.erasable else None
    expected_version, events = encode_pending(task, origin=origin, cipher=cipher)
    return Step(expected_version, tuple(events))


def _drawn(draw: Draw[object], strategy: st.SearchStrategy[Drawn]) -> Drawn:
    return draw(strategy)  # type: ignore[return-value]  # one draw function serves every type


def _command(draw: Draw[object], task: Task, now: datetime) -> None:
    permitted = {
        Status.PENDING: _pending_commands(task),
        Status.RUNNING: (*[_progress] * 2, *[_complete] * 2, *[_fail] * 4, _cancel, _confirm_cancel),
    }.get(task.status) or _finished_commands(task)
    _drawn(draw, st.sampled_from(permitted))(draw, task, now)


def _pending_commands(task: Task) -> tuple[Callable[[Draw[object], Task, datetime], None], ...]:
    if task.ready:
        return (*[_start] * 8, _release, _hold, _cancel)
    end = (_end_after_parent,) if task.hold == HoldReason.AFTER else (_hold,)
    return (*[_release] * 5, *end, _cancel)


def _finished_commands(task: Task) -> tuple[Callable[[Draw[object], Task, datetime], None], ...]:
    return (
        *(() if task.erased else (_retry,)),
        *((_discard,) if task.status is Status.FAILED else ()),
        *((_erase,) if task.erasable else ()),
    )


def _start(draw: Draw[object], task: Task, now: datetime) -> None:
    task.start(worker_id=str(_drawn(draw, st.uuids())), now=now)


def _release(draw: Draw[object], task: Task, now: datetime) -> None:
    task.release(reason=_drawn(draw, st.sampled_from(ReleaseReason)), now=now)


def _hold(draw: Draw[object], task: Task, now: datetime) -> None:
    task.hold_back(reason=_drawn(draw, st.sampled_from(HoldReason)), now=now)


def _end_after_parent(draw: Draw[object], task: Task, now: datetime) -> None:
    task.end_after_parent(_drawn(draw, st.uuids()), status=Status.FAILED, now=now)


def _discard(draw: Draw[object], task: Task, now: datetime) -> None:
    task.discard(actor="user:ann", reason=_drawn(draw, texts()), now=now)


def _erase(draw: Draw[object], task: Task, now: datetime) -> None:
    task.erase(actor="user:ann", reason=_drawn(draw, texts()), now=now)


def _progress(draw: Draw[object], task: Task, now: datetime) -> None:
    fraction, message = _drawn(draw, st.floats(0, 1)), _drawn(draw, texts())
    task.report_progress(attempt=task.attempt, fraction=fraction, message=message, now=now)


def _complete(draw: Draw[object], task: Task, now: datetime) -> None:
    task.complete(attempt=task.attempt, result=_drawn(draw, json_values()), now=now)


def _fail(draw: Draw[object], task: Task, now: datetime) -> None:
    task.fail(
        attempt=task.attempt,
        error=_drawn(draw, task_errors()),
        cause=_drawn(draw, st.sampled_from(Cause)),
        now=now,
        retry_delay_seconds=_drawn(draw, st.sampled_from([0.0, 1.5, 300.0, None])),
        attempts_lost_max=_drawn(draw, st.sampled_from([3, 2, 1])),
    )


def _cancel(draw: Draw[object], task: Task, now: datetime) -> None:
    task.request_cancel(actor="user:ann", reason=_drawn(draw, texts()), now=now)


def _confirm_cancel(draw: Draw[object], task: Task, now: datetime) -> None:
    if not task.cancel_requested:
        _cancel(draw, task, now)
    task.confirm_cancel(attempt=task.attempt, now=now)


def _retry(draw: Draw[object], task: Task, now: datetime) -> None:
    task.retry(actor="user:ann", reason=_drawn(draw, texts()), now=now)
