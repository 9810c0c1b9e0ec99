"""The nursery: a process that has imported everything and forks the others, so that a start takes no second.

Each fork is a process of its own with a session of its own, and runs what `python -m` would run. It ends when the
nursery does, and that ends with its standard input: with us, however we end.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

_PR_SET_PDEATHSIG = 1  # from linux/prctl.h
_ROOT = Path(__file__).parents[2]


class ForkedProcess:
    """A process that the nursery forked, held by a descriptor: its number may be another's once it is gone."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._descriptor: int | None = os.pidfd_open(pid)
        except ProcessLookupError:
            self._descriptor = None

    def poll(self) -> int | None:
        """Return None while it runs, else 0: nobody knows its exit code."""
        return 0 if self._ends_within(0) else None

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; raises subprocess.TimeoutExpired where it has not, in time."""
        if not self._ends_within(timeout):
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return 0

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None and self._descriptor is not None:
            signal.pidfd_send_signal(self._descriptor, signal.Signals(number))

    def kill(self) -> None:
        """End it the hard way."""
        self.send_signal(signal.SIGKILL)

    def _ends_within(self, seconds: float | None) -> bool:
        if (descriptor := self._descriptor) is None:
            return True
        end = select.poll()  # select() refuses a descriptor above a thousand
        end.register(descriptor, select.POLLIN)
        has_ended = bool(end.poll(None if seconds is None else seconds * 1000))
        if has_ended:
            self._close()
        return has_ended

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        self._close()


class Nursery:
    """Forks processes on order; use it as a context manager, at whose end every process that still runs is killed.

    Args:
        modules: what is imported once for all.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = modules
        self._one_order = threading.Lock()

    def fork(self, arguments: Sequence[str], *, environment: Mapping[str, str], log: Path) -> ForkedProcess:
        """Run `python -m` with these arguments, and nothing in its environment but what is given."""
        order = {"arguments": list(arguments), "environment": dict(environment), "log": str(log)}
        with self._one_order:
            self._stdin.write(json.dumps(order).encode() + b"\n")
            self._stdin.flush()
            return ForkedProcess(int(self._stdout.readline()))

    def __enter__(self) -> Self:
        """Start the nursery, and return when it has imported everything."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.services.nursery", *self._modules],
            cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both are pipes")
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._stdout.readline()
        return self

    def __exit__(self, *_error: object) -> None:
        """End it, and so everything that it forked."""
        self._stdin.close()
        self._process.wait()
        self._stdout.close()


def _serve(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # then the kernel buries the dead
    _say("ready")
    while order := sys.stdin.buffer.readline():
        if (pid := os.fork()) == 0:
            _become(**json.loads(order))
        _say(str(pid))


def _become(*, arguments: list[str], environment: dict[str, str], log: str) -> None:
    try:
        _detach(log)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = arguments
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:  # noqa: BLE001 - whatever it is, the fork must not go on as a second nursery
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _detach(log: str) -> None:
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    with Path(log).open("ab") as output, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve(sys.argv[1:])
