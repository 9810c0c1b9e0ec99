"""One job of one contender that has a program: on a fresh place, measured, and cleared away."""

import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.peers.bench import Bench, Place
from tests.bench.peers.environments import environment_of
from tests.bench.peers.peer import JobName, Peer, Task
from tests.bench.peers.program import Program
from tests.bench.peers.programs.notes import DIRECTORY, Noted, read_notes
from tests.bench.peers.sample import Sample
from tests.bench.processors import ProcessorSeconds

_LOOK_SECONDS = 0.01
_START_SECONDS_MAX = 60.0
_DRAIN_SECONDS_MAX = 180.0
_PREPARE = "prepare"
_WORK = "work"


class TooSlowError(Exception):
    """A worker did not begin, or did not come to an end, in time."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A peer at one of its jobs."""

    bench: Bench
    peer: Peer
    job: JobName

    def measure(self) -> Sample:
        """Do the job once."""
        interpreter = environment_of(self.peer, self.bench.environments).interpreter
        task = self.peer.jobs[self.job]
        with self.bench.place() as place:
            programs = _Programs(self.peer, interpreter, place, task, self.bench.scaled(task.tasks))
            if self.peer.is_prepared:
                programs.prepare()
            if self.job is not JobName.DRAIN:
                return self._calls(programs)
            programs.fill()
            return self._drained(programs, place)

    def _calls(self, programs: "_Programs") -> Sample:
        with programs.start(self.job) as program:
            program.wait_until_ready()
            used = self._count(program)
            used.start()
            report = program.run()
            used.stop()
        tasks, seconds = report["tasks"], report["seconds"]
        if tasks is None or seconds is None:
            raise AssertionError("a report has both")
        return Sample(int(tasks), seconds, report["p50_ms"], report["p99_ms"], used.seconds)

    def _drained(self, programs: "_Programs", place: Place) -> Sample:
        with programs.start(_WORK) as program:
            used = self._count(program)
            noted = follow(place.notes, programs.tasks, used, program)
        return Sample(noted.tasks, noted.seconds, processor_seconds=used.seconds)

    def _count(self, program: Program) -> ProcessorSeconds:
        return ProcessorSeconds(lambda: {**self.bench.servers.used(), self.peer.name: program.used()})


def follow(notes: Path, tasks: int, used: ProcessorSeconds, program: Program | None = None) -> Noted:
    """Return what the tasks noted when all have run; the processors are counted from the first one on.

    Raises:
        ProgramError: the worker has ended.
        TooSlowError: nothing began, or not all ended, in time.
    """
    deadline = time.monotonic() + _START_SECONDS_MAX
    while not (noted := read_notes(notes)).tasks:
        _wait(deadline, program, what=f"no task began within {_START_SECONDS_MAX} s")
    used.start()
    deadline = time.monotonic() + _DRAIN_SECONDS_MAX
    while (noted := read_notes(notes)).tasks < tasks:
        _wait(deadline, program, what=f"{noted.tasks} of {tasks} tasks ran within {_DRAIN_SECONDS_MAX} s")
    used.stop()
    return noted


@dataclass(frozen=True, slots=True)
class _Programs:
    """Starts the program of a peer for each step of a job."""

    peer: Peer
    interpreter: Path
    place: Place
    task: Task
    tasks: int

    def prepare(self) -> None:
        with self.start(_PREPARE) as program:
            program.finish()

    def fill(self) -> None:
        known = self.peer.jobs.get(self.peer.fill)
        with self._start(self.peer.fill, {**self.task.settings, **(known.settings if known else {})}) as program:
            program.wait_until_ready()
            program.run()

    def start(self, name: str) -> AbstractContextManager[Program]:
        return self._start(name, self.task.settings)

    def _start(self, name: str, settings: Mapping[str, str]) -> AbstractContextManager[Program]:
        place = self.place
        environment = {
            **self.task.environment,
            "BENCH_JOB": job_text(name, self.tasks, settings, place),
            DIRECTORY: str(place.notes),
        }
        return Program(self.interpreter, self.peer.program, environment, place.log)


def job_text(name: str, tasks: int, settings: Mapping[str, str], place: Place) -> str:
    """Return what a program reads of its job."""
    told = {key: value for key, value in asdict(place).items() if key not in {"notes", "log"}}
    return json.dumps({"name": str(name), "tasks": tasks, "settings": dict(settings), **told})


def _wait(deadline: float, program: Program | None, *, what: str) -> None:
    if program is not None:
        program.check()
    if time.monotonic() > deadline:
        raise TooSlowError(what)
    time.sleep(_LOOK_SECONDS)
