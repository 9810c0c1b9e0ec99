"""The job of a program: what to do, and how it tells what that took. It knows no queue, only how to measure calls.

A program says `ready` when it is connected, waits for a line, does the measured work, prints one report in JSON,
and ends when its standard input does: so the processor time can be read before, after, and of nothing else.
"""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import count

Work = Callable[["Job"], None]

INPUT = "hello world"
"""What every task is given, whoever runs it."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a program.

    Attributes:
        tasks: how many tasks.
        settings: what the contender's configuration says, for example `concurrency`.
        queue: the queue to use, which nobody else does.
    """

    name: str
    tasks: int
    settings: Mapping[str, str]
    database_url: str
    rabbitmq_url: str
    queue: str

    def number(self, name: str) -> int:
        """Return a setting as a whole number."""
        return int(self.settings[name])

    def measure_calls(self, call: Callable[[], object]) -> None:
        """Make a call for each task, from as many threads as `concurrency` says, and report."""
        latencies: list[float] = []
        numbers = count()

        def repeat() -> None:
            while next(numbers) < self.tasks:
                began_at = time.perf_counter()
                call()
                latencies.append(time.perf_counter() - began_at)

        threads = [threading.Thread(target=repeat) for _ in range(self.number("concurrency"))]
        wait_for_go()
        began_at = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        report(len(latencies), time.perf_counter() - began_at, latencies)

    async def measure_calls_async(self, call: Callable[[], Awaitable[object]]) -> None:
        """Make a call for each task, as many at once as `concurrency` says, and report."""
        latencies: list[float] = []
        numbers = count()

        async def repeat() -> None:
            while next(numbers) < self.tasks:
                began_at = time.perf_counter()
                await call()
                latencies.append(time.perf_counter() - began_at)

        wait_for_go()
        began_at = time.perf_counter()
        await asyncio.gather(*(repeat() for _ in range(self.number("concurrency"))))
        report(len(latencies), time.perf_counter() - began_at, latencies)

    def measure_batches(self, call: Callable[[int], object]) -> None:
        """Make calls for `batch` tasks each, one after the other, and report."""
        wait_for_go()
        began_at = time.perf_counter()
        for size in self._sizes():
            call(size)
        report(self.tasks, time.perf_counter() - began_at)

    async def measure_batches_async(self, call: Callable[[int], Awaitable[object]]) -> None:
        """Make calls for `batch` tasks each, one after the other, and report."""
        wait_for_go()
        began_at = time.perf_counter()
        for size in self._sizes():
            await call(size)
        report(self.tasks, time.perf_counter() - began_at)

    def _sizes(self) -> list[int]:
        whole, rest = divmod(self.tasks, self.number("batch"))
        return [self.number("batch")] * whole + ([rest] if rest else [])


# Libraries print what they like: only what goes here is heard.
_answers = os.fdopen(os.dup(1), "w")


def run(jobs: Mapping[str, Work]) -> None:
    """Do the job that the command line names."""
    os.dup2(2, 1)
    job = _job()
    jobs[job.name](job)


def environment_job() -> Job:
    """Return the job of the environment, for a module that a worker imports."""
    return _job()


def wait_for_go() -> None:
    """Say that everything is ready, and wait for the word to begin."""
    _say({"ready": True})
    sys.stdin.readline()


def report(tasks: int, seconds: float, latencies: list[float] | None = None) -> None:
    """Tell what the work took, and wait until nobody needs this process any more."""
    ordered = sorted(latencies or [])
    _say(
        {
            "tasks": tasks,
            "seconds": seconds,
            "p50_ms": _percentile(ordered, 0.5),
            "p99_ms": _percentile(ordered, 0.99),
        }
    )
    sys.stdin.read()


def _say(answer: Mapping[str, object]) -> None:
    _answers.write(json.dumps(answer) + "\n")
    _answers.flush()


def _percentile(ordered: list[float], fraction: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))] * 1000 if ordered else None


def _job() -> Job:
    given = json.loads(os.environ["BENCH_JOB"])
    return Job(**given)
