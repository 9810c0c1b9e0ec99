"""The process of a handler as the worker sees it: it runs one job after the other, and can be killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import orjson

from ledger.settings import Settings
from worker import child
from worker.child import receive_frame, send_frame
from worker.child_messages import FRAME_BYTES_MORE_MAX, STOP, Answer, Job, decode_answer, encode_job
from worker.endings import Raised, Stopped
from worker.errors import ProcessDiedError

_STANDARD_ERROR = 2

Report = Callable[[float, str], object]


class ChildProcess:
    """One process; it starts with its first job, in a session of its own: all that it started is killed with it.

    The methods that block are for a thread, which must live as long as the process should: Linux kills the child
    of a thread that ended. The others are for the event loop.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._lock = threading.Lock()
        self._has_job = False
        self._is_gone = False
        self.is_killed = False
        self.jobs = 0
        self.idle_since = 0.0

    def run(self, job: Job, report: Report) -> Answer:
        """Run a job, handing on its progress; blocks until the answer is there or the process is not."""
        self.jobs += 1
        if self.is_killed:
            return self._died()
        try:
            connection = self._connection or self._start()
            send_frame(connection, encode_job(job))
            self._has_job = True
            answer = self._await_answer(connection, report)
        except (ConnectionError, EOFError):
            answer = None
        except Exception as error:  # noqa: BLE001 - it cannot start, or says what cannot be understood
            self.kill()
            return Answer(Raised(error), has_stopped=False)
        finally:
            self._has_job = False
        return answer or self._died()

    def tell_to_stop(self) -> None:
        """Set `context.cancelled` there; never waits, since so small a frame always has room."""
        if self._connection is not None and self._has_job:  # two frames must not mix
            with suppress(OSError):
                send_frame(self._connection, STOP)

    def kill(self) -> None:
        """Kill the process and all that it started; whoever waits in `run` is let go at once."""
        with self._lock:
            self.is_killed = True
            if self._process is None:
                return
            self._kill_group(self._process)
        if self._connection is not None:
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)

    def is_alive(self) -> bool:
        """Say whether an idle process is still there."""
        if self._connection is None:
            return False
        try:
            return self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def end(self) -> int:
        """Kill the process, and return its exit code when it is gone; blocks."""
        if self._connection is not None:
            self._connection.close()
        return 0 if self._process is None else self._reap(self._process)

    def _start(self) -> socket.socket:
        self._connection, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - our own script
                [sys.executable, "-u", "-P", child.__file__, str(os.getpid()), str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=_STANDARD_ERROR,
                start_new_session=True,
            )
        with self._lock:
            self._process = process
            if self.is_killed:  # while it started
                self._kill_group(process)
        send_frame(self._connection, self._hello())
        return self._connection

    def _hello(self) -> bytes:
        settings = self._settings
        hello = {
            "path": sys.path,
            "apps": settings.worker_apps,
            "log_format": settings.log_format,
            "log_level": settings.log_level,
            "otlp_endpoint": settings.otlp_endpoint,
            "traces": settings.traces,
        }
        return json.dumps(hello).encode()  # unlike orjson it takes a path that is no valid text

    def _await_answer(self, connection: socket.socket, report: Report) -> Answer | None:
        bytes_max = self._settings.result_bytes_max + FRAME_BYTES_MORE_MAX
        while frame := receive_frame(connection, bytes_max=bytes_max):
            message = orjson.loads(frame)
            if "progress" not in message:
                return decode_answer(message)
            report(*message["progress"])
        return None

    def _died(self) -> Answer:
        was_killed, self.is_killed = self.is_killed, True
        exit_code = self.end()
        if was_killed:
            return Answer(Stopped.SHUTDOWN, has_stopped=True)
        return Answer(Raised(ProcessDiedError(exit_code=exit_code)), has_stopped=False)

    def _reap(self, process: subprocess.Popen[bytes]) -> int:
        with self._lock:
            self._kill_group(process)
            self._is_gone = True  # from here on its number may be another's
        return process.wait()

    def _kill_group(self, process: subprocess.Popen[bytes]) -> None:
        if not self._is_gone:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
