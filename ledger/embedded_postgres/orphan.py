"""The orphan: a server that still runs on a data directory after its owner was killed."""

import os
import subprocess
import time
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT, Signals

from ledger.errors import EmbeddedPostgresError

# Fast shutdown (which writes a checkpoint), immediate shutdown, and at last the one that cannot be refused.
STOP_SIGNALS: tuple[tuple[Signals, float], ...] = ((SIGINT, 30.0), (SIGQUIT, 10.0), (SIGKILL, 10.0))
_POLL_SECONDS = 0.01
_PROC = Path("/proc/self").exists()


def stop_orphan(data: Path) -> None:
    """Stop the server that runs on this data directory without an owner, if there is one.

    The caller owns the home, so nobody else starts one meanwhile. A process that merely has the pid which a dead
    server left in its pid file is never touched; that file is removed, since the server would refuse to start.

    Raises:
        EmbeddedPostgresError: the orphan does not end.
    """
    pid = server_pid(data)
    if pid is None or not _is_alive(pid):
        return
    if not is_server_of(data, pid):
        # Safe even if a backend of the dead server lingers: the new one checks the shared memory on its own.
        (data / "postmaster.pid").unlink(missing_ok=True)
        return
    for stop_signal, seconds_max in STOP_SIGNALS:
        _send(pid, stop_signal)
        if _ended(data, pid, seconds_max=seconds_max):
            return
    raise EmbeddedPostgresError(
        f"a server without an owner (pid {pid}) runs on {data} and does not end: end it by hand"
    )


def server_pid(data: Path) -> int | None:
    """Return the pid in the pid file, alive or not, a server's or not."""
    try:
        first_line = (data / "postmaster.pid").read_text(encoding="utf-8").partition("\n")[0].strip()
    except FileNotFoundError:
        return None
    return int(first_line) if first_line.isdecimal() else None


def is_server_of(data: Path, pid: int) -> bool:
    """Say whether this process is a running Postgres whose data directory is this one; a zombie is not."""
    if not _PROC:
        return _is_server_by_ps(data, pid)
    process = Path("/proc") / str(pid)
    try:
        # A server works inside its data directory; comparing inodes sees through symlinks and mounts.
        return (process / "comm").read_text().strip() == "postgres" and (process / "cwd").samefile(data)
    except OSError:
        return False


def _is_server_by_ps(data: Path, pid: int) -> bool:
    answer = subprocess.run(  # noqa: S603 - constant arguments and a number
        ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return "postgres" in answer.stdout and str(data) in answer.stdout


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _send(pid: int, stop_signal: Signals) -> None:
    try:
        os.kill(pid, stop_signal)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise EmbeddedPostgresError(f"a server of another user (pid {pid}) runs on this data directory") from error


def _ended(data: Path, pid: int, *, seconds_max: float) -> bool:
    deadline = time.monotonic() + seconds_max
    while is_server_of(data, pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
