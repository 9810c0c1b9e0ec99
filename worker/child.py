"""The start of a handler's process, and how it and the worker talk: frames over a socket.

It runs as a script, so it imports nothing of ours before the worker's module path is known. A plain fork would be
faster, but a process with threads and an event loop cannot be forked safely.
"""

import ctypes
import json
import os
import signal
import socket
import struct
import sys
from contextlib import suppress

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h
_OOM_SCORE = "500"  # of proc(5), from -1000 for never to 1000 for first
_LENGTH = struct.Struct("!I")


class FrameTooLongError(ValueError):
    """The other side sent more than it may."""


def send_frame(connection: socket.socket, frame: bytes) -> None:
    """Send a frame; raises OSError where nobody takes it."""
    connection.sendall(_LENGTH.pack(len(frame)) + frame)


def receive_frame(connection: socket.socket, *, bytes_max: int | None = None) -> bytes | None:
    """Return the next frame, None at the end; raises FrameTooLongError and OSError."""
    head = _receive(connection, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if bytes_max is not None and length > bytes_max:
        raise FrameTooLongError(f"a frame of {length} bytes is longer than {bytes_max}")
    return _receive(connection, length)


def _receive(connection: socket.socket, length: int) -> bytes | None:
    buffer = bytearray(length)
    view, received = memoryview(buffer), 0
    while received < length:
        count = connection.recv_into(view[received:])
        if count == 0:
            return None
        received += count
    return bytes(buffer)


def _main(parent: str, descriptor: str) -> None:
    _die_with(int(parent))
    _die_before_the_worker()
    connection = socket.socket(fileno=int(descriptor))
    connection.set_inheritable(False)
    os.register_at_fork(after_in_child=connection.close)  # else the worker would not see that we died
    hello = receive_frame(connection)
    if hello is None:
        return
    settings = json.loads(hello)
    sys.path[:] = settings["path"]
    from worker.isolated import Isolated  # noqa: PLC0415 - only now can it be found

    Isolated(connection, settings).run()


def _die_with(parent: int) -> None:
    # Elsewhere than on Linux the end of the socket has to do.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the worker ended before its child could start")


def _die_before_the_worker() -> None:
    # When memory runs out: then one attempt fails, and not all that the worker runs.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123 - quicker
        file.write(_OOM_SCORE)


if __name__ == "__main__":
    _main(*sys.argv[1:])
