"""The program of a contender, as we run it: started, told to begin, asked for its report, ended."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Timer
from typing import IO, Self

from ledger.embedded_postgres.child import child_command
from tests.bench.processors import used_by_session
from tests.services.cluster import ROOT

_SECONDS_MAX = 240.0


class ProgramError(Exception):
    """A program did not do its job; the sentence ends with the last line of its log."""


@dataclass(slots=True)
class Program:
    """A process of its own session, and what it starts; whatever is left of it is killed on leaving."""

    interpreter: Path
    module: str
    environment: Mapping[str, str]
    log: Path
    _running: "subprocess.Popen[str] | None" = field(default=None, init=False)
    _deadline: Timer | None = field(default=None, init=False)

    def wait_until_ready(self) -> None:
        """Return when it is connected and waits for the word."""
        self._answer()

    def run(self) -> Mapping[str, float | None]:
        """Tell it to begin, and return its report."""
        self._pipe(self._process.stdin).write("go\n")
        self._pipe(self._process.stdin).flush()
        report: Mapping[str, float | None] = self._answer()
        return report

    def finish(self) -> None:
        """Wait until it has ended by itself."""
        if self._process.wait() != 0:
            raise self._error()

    def check(self) -> None:
        """Raise where it has ended."""
        if self._process.poll() is not None:
            raise self._error()

    def used(self) -> float:
        """Return the processor seconds that it and what it started have used so far."""
        return used_by_session(self._process.pid)

    def __enter__(self) -> Self:
        """Start it."""
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(
                child_command([str(self.interpreter), "-m", self.module], death_signal=signal.SIGKILL),
                cwd=ROOT, env={**_inherited(), "PYTHONPATH": str(ROOT), **self.environment},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip
        self._deadline = Timer(_SECONDS_MAX, self._kill)
        self._deadline.daemon = True
        self._deadline.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Kill it."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):
                self._pipe(pipe).close()

    @property
    def _process(self) -> "subprocess.Popen[str]":
        if self._running is None:
            raise AssertionError("a program is used inside its `with`")
        return self._running

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _answer(self) -> dict[str, float | None]:
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise self._error()
        answer: dict[str, float | None] = json.loads(line)
        return answer

    def _error(self) -> ProgramError:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return ProgramError(f"{self.module} ended: {lines[-1] if lines else 'it said nothing'}")

    def _pipe(self, pipe: IO[str] | None) -> IO[str]:
        if pipe is None:
            raise AssertionError("both are pipes")
        return pipe


def _inherited() -> Mapping[str, str]:
    # What configures us must not configure our own program, and no other Python the peers' one.
    ours = ("LEDGER_", "DATABASE_URL", "RABBITMQ_URL", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
