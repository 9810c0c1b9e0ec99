"""The embedded Postgres: starts the server as a child on a home directory, says where it is, and stops it."""

import asyncio
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from pathlib import Path
from signal import SIGINT, SIGKILL
from types import TracebackType
from typing import Self

from ledger.embedded_postgres.binaries import PostgresBinaries, find_binaries
from ledger.embedded_postgres.child import child_command
from ledger.embedded_postgres.home import Home
from ledger.embedded_postgres.orphan import STOP_SIGNALS, stop_orphan
from ledger.embedded_postgres.system_user import SystemUser, choose_system_user
from ledger.errors import EmbeddedPostgresError

_HOST = "127.0.0.1"
_OWNER = "postgres"
_POLL_SECONDS = 0.01
_PAUSE_SECONDS = 0.1
_INITDB_SECONDS_MAX = 300.0

# Nothing here weakens durability: fsync, full_page_writes and synchronous_commit stay on.
_TUNING = {
    "listen_addresses": _HOST,
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "jit": "off",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "logging_collector": "off",
    "log_checkpoints": "off",
}


class _Outcome(Enum):
    READY = auto()
    PORT_TAKEN = auto()
    OLD_SERVER_LINGERS = auto()


class EmbeddedPostgres:
    """A Postgres server of our own: a child process that ends with us, however we end, on data that stays.

    It listens on the loopback interface only and lets nobody in without the password, because every user of
    the machine can reach that interface. Use it as an async context manager, or with `start` and `stop`.

    Args:
        home: the directory for data, password, log and lock; made with mode 0700.
        binaries: the default is what `find_binaries` finds.
        tuning: server settings on top of, or instead of, the defaults.
        port: the default is a free one, another at each start.
        start_seconds_max: the recovery after a crash needs time, so be generous.
    """

    owner = _OWNER

    def __init__(
        self,
        home: Path,
        *,
        binaries: PostgresBinaries | None = None,
        tuning: Mapping[str, str] | None = None,
        port: int | None = None,
        start_seconds_max: float = 300.0,
    ) -> None:
        self._home = Home(home)
        self._binaries = binaries
        self._tuning = {**_TUNING, **(tuning or {})}
        self._fixed_port = port
        self._start_seconds_max = start_seconds_max
        self._url: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        # The kernel ends the child together with the *thread* that forked it. So one thread of our own does all
        # the work and lives as long as the server, and start() may be called from any thread, however short-lived.
        self._thread: ThreadPoolExecutor | None = None

    @property
    def url(self) -> str:
        """The superuser's URL, password included.

        Raises:
            EmbeddedPostgresError: the server is not started.
        """
        if self._url is None:
            raise EmbeddedPostgresError(f"the embedded Postgres in {self._home.path} is not started")
        return self._url

    @property
    def pid(self) -> int | None:
        """The server's process, or None when none runs."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    @property
    def description(self) -> str:
        """What runs and where, in words for a person; no password."""
        return f"{self._binaries or 'Postgres'} on {self._home.data}"

    def start(self) -> str:
        """Start the server and return its URL when it answers; blocks for about a second the first time.

        Raises:
            DataDirectoryInUseError: another process owns the home.
            EmbeddedPostgresError: it cannot start; the sentence says why and ends with its log.
        """
        try:
            return self._open_thread().submit(self._start).result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server in good order and give up the home; idempotent. No process is left."""
        if self._thread is None:
            return
        self._stopping.set()
        self._thread.submit(self._stop).result()
        self._thread.shutdown()
        self._thread = None

    async def __aenter__(self) -> Self:
        starting = asyncio.get_running_loop().run_in_executor(self._open_thread(), self._start)
        try:
            await asyncio.shield(starting)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self.stop))
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.shield(asyncio.to_thread(self.stop))

    def _open_thread(self) -> ThreadPoolExecutor:
        if self._thread is not None:
            raise EmbeddedPostgresError(f"the embedded Postgres in {self._home.path} is already started")
        self._stopping.clear()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedded-postgres")
        return self._thread

    def _start(self) -> str:
        self._home.claim()
        self._binaries = self._binaries or find_binaries()
        user = choose_system_user(self._binaries, data=self._home.data)
        password = self._home.password()
        if not self._home.has_data():
            self._make_data(self._binaries, user)
        self._home.check_data_fits(self._binaries)
        stop_orphan(self._home.data)
        user.own(self._home.data)
        port = self._launch(self._binaries, user)
        self._url = f"postgresql://{_OWNER}:{password}@{_HOST}:{port}/postgres"
        return self._url

    def _stop(self) -> None:
        self._url = None
        if self._process is not None:
            _end(self._process)
            self._process = None
        self._home.release()

    def _make_data(self, binaries: PostgresBinaries, user: SystemUser) -> None:
        unfinished = self._home.unfinished_data
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        user.own(unfinished)
        arguments = [
            binaries.initdb, f"--pgdata={unfinished}", f"--pwfile={self._home.password_file}",
            f"--username={_OWNER}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions",
        ]  # fmt: skip
        if self._tuning.get("fsync") == "off":
            arguments.append("--no-sync")
        command = child_command(arguments, death_signal=SIGKILL, user=user.child_user)
        result = subprocess.run(  # noqa: S603 - our own step and a program that was checked
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=_environment(),
            timeout=_INITDB_SECONDS_MAX,
        )
        if result.returncode != 0:
            raise EmbeddedPostgresError(
                f"initdb of {binaries} could not make {unfinished} as {user.description}: {result.stderr.strip()}"
            )
        self._home.adopt_data()

    def _launch(self, binaries: PostgresBinaries, user: SystemUser) -> int:
        deadline = time.monotonic() + self._start_seconds_max
        while True:
            port = self._fixed_port or _free_port()
            with self._home.open_log() as log:
                log_start = log.tell()
                self._process = subprocess.Popen(  # noqa: S603 - our own step and a program that was checked
                    self._server_command(binaries, user, port=port),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=_environment(),
                    start_new_session=True,  # Ctrl-C reaches us and not the server, which we stop last
                )  # fmt: skip
            outcome = self._wait_for(self._process, user, log_start=log_start, deadline=deadline)
            if outcome is _Outcome.READY:
                return port
            if outcome is _Outcome.OLD_SERVER_LINGERS:
                time.sleep(_PAUSE_SECONDS)

    def _server_command(self, binaries: PostgresBinaries, user: SystemUser, *, port: int) -> list[str]:
        settings = {**self._tuning, "port": str(port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        arguments = [binaries.postgres, "-D", str(self._home.data), *options]
        return child_command(arguments, death_signal=SIGINT, user=user.child_user)

    def _wait_for(
        self, process: subprocess.Popen[bytes], user: SystemUser, *, log_start: int, deadline: float
    ) -> _Outcome:
        while process.poll() is None:
            if self._is_ready(process.pid):
                return _Outcome.READY
            if self._stopping.is_set() or time.monotonic() > deadline:
                break
            time.sleep(_POLL_SECONDS)
        ended_by_itself = process.poll() is not None
        tail = self._home.log_tail(start=log_start)
        if ended_by_itself and time.monotonic() < deadline:
            if "Address already in use" in tail and self._fixed_port is None:
                return _Outcome.PORT_TAKEN
            if "pre-existing shared memory block" in tail:
                return _Outcome.OLD_SERVER_LINGERS
        what = f"exited with {process.returncode}" if ended_by_itself else "was not ready in time"
        raise EmbeddedPostgresError(
            f"{self._binaries} as {user.description} {what}; the end of {self._home.log_file}:\n{tail}"
        )

    def _is_ready(self, pid: int) -> bool:
        # The format of postmaster.pid: line 1 is the server's pid, line 8 its state (src/include/utils/pidfile.h).
        try:
            lines = (self._home.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004


def _end(process: subprocess.Popen[bytes]) -> None:
    for stop_signal, seconds_max in STOP_SIGNALS:
        process.send_signal(stop_signal)
        try:
            process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            continue
        return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _environment() -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**ours, "LC_ALL": "C"}
