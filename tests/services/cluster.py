"""Every role of Task Ledger as a process of its own, to start, kill and start again."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import IO, Self

import httpx

from tests.services.nursery import ForkedProcess, Nursery
from tests.services.processes import stable_port, wait_until

ROOT = Path(__file__).parents[2]
_COMMANDS = {
    "api": ("api",),
    "relay": ("ledger", "relay"),
    "projector": ("projections",),
    "scheduler": ("ledger", "scheduler"),
    "worker": ("worker",),
}
_START_SECONDS_MAX = 60.0
_STOP_SECONDS_MAX = 40.0


@dataclass(slots=True)
class RoleProcess:
    """One process of a role; its output goes to a log file beside the others."""

    role: str
    process: subprocess.Popen[bytes] | ForkedProcess
    log: IO[bytes]
    name: str = ""

    def kill(self) -> None:
        """End it the hard way, and wait until it is gone."""
        self.process.send_signal(SIGKILL)
        self.process.wait()
        self.log.close()

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        self.process.send_signal(SIGTERM)
        try:
            return self.process.wait(_STOP_SECONDS_MAX)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.log.close()


@dataclass(slots=True)
class Cluster:
    """Processes of Task Ledger on one database and one broker.

    Use it as a context manager: whatever still runs at the end is stopped. With a nursery the processes are its
    forks: they start sooner, and have no exit code.
    """

    database_url: str
    rabbitmq_url: str
    logs: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=stable_port)
    running: list[RoleProcess] = field(default_factory=list)
    nursery: Nursery | None = None

    @property
    def url(self) -> str:
        """Where the API listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, role: str, *arguments: str, **environment: str) -> RoleProcess:
        """Start a process of a role, with options and environment of its own."""
        return self.start_module(role, *_COMMANDS[role], *arguments, **environment)

    def start_module(self, role: str, *arguments: str, **environment: str) -> RoleProcess:
        """Start `python -m` with these arguments as a process of a role."""
        path = self.logs / f"{role}-{len(list(self.logs.iterdir()))}.log"
        everything = {**os.environ, **self._environment(), **environment}
        log = path.open("ab")
        started = RoleProcess(role, self._process(arguments, everything, log), log)
        self.running.append(started)
        return started

    def kill(self, role: str) -> None:
        """Kill -9 the newest running process of a role."""
        victim = self._newest(role)
        victim.kill()

    def stop(self, role: str) -> int:
        """Stop the newest running process of a role, and return its exit code."""
        return self._newest(role).stop()

    def wait_until_ready(self) -> None:
        """Return when the API says that everything behind it answers."""
        wait_until(
            lambda: self._answers("/health/ready"),
            seconds_max=_START_SECONDS_MAX,
            what=f"{self.url} is ready (see {self.logs})",
        )

    def wait_until_alive(self) -> None:
        """Return when the API answers at all."""
        wait_until(lambda: self._answers("/health"), seconds_max=_START_SECONDS_MAX, what=f"{self.url} answers")

    def __enter__(self) -> Self:
        """Begin with nothing running."""
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop what still runs, the newest first."""
        for role in reversed(self.running):
            if role.process.poll() is None:
                role.stop()

    def _process(
        self, arguments: tuple[str, ...], environment: dict[str, str], log: IO[bytes]
    ) -> subprocess.Popen[bytes] | ForkedProcess:
        if self.nursery is not None:
            return self.nursery.fork(arguments, environment=environment, log=Path(log.name))
        return subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def _newest(self, role: str) -> RoleProcess:
        return next(one for one in reversed(self.running) if one.role == role and one.process.poll() is None)

    def _answers(self, path: str) -> bool:
        if all(one.process.poll() is not None for one in self.running if one.role == "api"):
            message = f"the API ended before it was ready: see {self.logs}"
            raise RuntimeError(message)
        try:
            return httpx.get(f"{self.url}{path}", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def _environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.database_url,
            "RABBITMQ_URL": self.rabbitmq_url,
            "PORT": str(self.port),
            "LEDGER_LOG_FORMAT": "json",
            "PYTHONPATH": str(ROOT),
            **self.environment,
        }
