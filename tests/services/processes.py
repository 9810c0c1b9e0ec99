"""What Linux tells about the processes that a test started, so that it can end all of them and prove it."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom

_POLL_SECONDS = 0.01
# Below the ports that the kernel hands out on its own, so that a server finds its port free again after a restart.
_PORTS = range(15_000, 32_000)


def stable_port() -> int:
    """Return a port of 127.0.0.1 that is free now and that no outgoing connection will take meanwhile."""
    for port in SystemRandom().sample(_PORTS, 50):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    message = "no free port among 50"
    raise OSError(message)


def is_running(pid: int) -> bool:
    """Say whether the process runs; a zombie does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in {"Z", "X"}


def processes_within(directory: Path) -> list[int]:
    """Return the running processes whose working directory is this one or below it."""
    root = directory.resolve()
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [pid for pid in pids if _working_directory(pid).is_relative_to(root)]


def wait_until(condition: Callable[[], bool], *, seconds_max: float, what: str) -> None:
    """Return as soon as the condition holds.

    Raises:
        TimeoutError: it does not, in time.
    """
    deadline = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > deadline:
            message = f"waited {seconds_max} s in vain until {what}"
            raise TimeoutError(message)
        time.sleep(_POLL_SECONDS)


def _working_directory(pid: int) -> Path:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return Path("/")
