"""Handlers that other processes import, for the tests of process isolation."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from pathlib import Path

from pydantic import BaseModel, JsonValue

from worker.context import TaskContext
from worker.errors import NonRetryable, RetryAfter


class Point(BaseModel):
    """A model with a field that JSON has no word for."""

    x: int
    when: datetime


def double(value: int) -> int:
    """Answer with twice the input."""
    return 2 * value


def pid(_value: object) -> int:
    """Answer with the process."""
    return os.getpid()


def move(to: Point) -> Point:
    """Answer with a model."""
    return to


def answer(expression: str) -> object:
    """Answer with what the expression makes."""
    return eval(expression)  # noqa: S307 - a test's own text


def die(how: str) -> None:
    """End the process."""
    if how == "exit":
        os._exit(3)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(4)


def fail(how: str) -> None:
    """Raise."""
    if how == "hopeless":
        raise NonRetryable(how)
    if how == "later":
        raise RetryAfter(3600, how)
    if how == "interrupt":
        raise KeyboardInterrupt
    raise ValueError(how)


def spin(path: Path, context: TaskContext) -> None:
    """Write down the process, and work for ever without looking at anything."""
    write(path, str(os.getpid()))
    context.progress(0.25, "spinning")
    while True:
        pass


def spin_with_company(path: Path) -> None:
    """Start another process, write both down, and wait for ever."""
    company = subprocess.Popen(["sleep", "600"])
    write(path, f"{os.getpid()} {company.pid}")
    time.sleep(600)


def look(path: Path, context: TaskContext) -> str:
    """Write down the process, and end when the context says so."""
    write(path, str(os.getpid()))
    while not context.cancelled:
        time.sleep(0.005)
    (path.parent / "cleaned").touch()
    return "half of it"


def tell(value: JsonValue, context: TaskContext) -> dict[str, object]:
    """Say something everywhere, and answer with what the context knows."""
    sys.stdout.write(f"printed {value}\n")
    context.log.info("handler.said", value=value)
    return {
        "task_id": context.task_id,
        "attempt": context.attempt,
        "kind": context.kind,
        "queue": context.queue,
        "tags": context.tags,
        "deadline": context.deadline,
        "cancelled": context.cancelled,
    }


def transact(_value: object, context: TaskContext) -> None:
    """Ask for a transaction."""
    context.transaction()


def write(path: Path, text: str) -> None:
    """Write so that a reader finds all of it or nothing."""
    half = path.with_suffix(".half")
    half.write_text(text)
    half.replace(path)


def _hide(function: Callable[[int], int]) -> Callable[[int], int]:
    @wraps(function)
    def hiding(value: int) -> int:
        return function(value)

    return hiding


@_hide
def hidden(value: int) -> int:
    """Stand under a name that is another's."""
    return value


async def coroutine(_value: object) -> None:
    """Do nothing."""
