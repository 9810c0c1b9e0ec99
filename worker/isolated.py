"""The inside of a handler's process: it runs one job after the other, and ends with the worker."""

import os
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from functools import cache, partial
from queue import SimpleQueue
from typing import Any

import orjson
import structlog

from ledger.instruments import open_traces
from ledger.jsonvalue import storable_text
from ledger.logs import configure_logging
from ledger.telemetry import Role
from ledger.traces import Traces
from worker.child import receive_frame, send_frame
from worker.child_messages import Job, decode_job, encode_answer
from worker.context import TaskContext
from worker.endings import Raised, Returned
from worker.importable import Address, function_at
from worker.registry import Handler, load_registry
from worker.signature import inspect_handler

_MESSAGE_CHARS_MAX = 1000


class Isolated:
    """Runs jobs in the main thread; another one listens for the next job, for a stop, and for the worker's end."""

    def __init__(self, connection: socket.socket, settings: Mapping[str, Any]) -> None:
        self._connection = connection
        self._settings = settings
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._context: TaskContext | None = None
        self._current: Job | None = None
        self._sending = threading.Lock()
        self._is_ready = False
        self._traces: Traces | None = None

    def run(self) -> None:
        """Work until the worker closes the connection."""
        configure_logging(log_format=self._settings["log_format"], level=self._settings["log_level"])
        threading.Thread(target=self._listen, name="listener", daemon=True).start()
        with suppress(OSError):  # the worker is gone
            while (job := self._jobs.get()) is not None:
                self._do(job)

    def _listen(self) -> None:
        try:
            while frame := receive_frame(self._connection):
                message = orjson.loads(frame)
                if "job" in message:
                    self._take(decode_job(message["job"]))
                elif self._context is not None:
                    self._context.ask_to_stop()
        finally:
            if self._context is not None:
                os._exit(1)  # nobody waits for what the handler does
            self._jobs.put(None)

    def _take(self, job: Job) -> None:
        self._context = job.context(partial(self._report, job))
        self._current = job
        self._jobs.put(job)

    def _do(self, job: Job) -> None:
        context = self._context
        assert context is not None  # noqa: S101 - it came with the job
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(**job.log_context)
        ending = self._call_handler(job, context)
        answer = encode_answer(ending, job, stop_seen=context.stop_seen)
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # the handler may have closed or replaced it
                stream.flush()
        self._context = None
        with self._sending:
            self._current = None
            send_frame(self._connection, answer)
        if self._traces is not None:
            self._traces.flush()  # the next job may never come, and a process that idles is killed

    def _call_handler(self, job: Job, context: TaskContext) -> Returned | Raised:
        try:
            self._prepare()
            with nullcontext() if self._traces is None else self._traces.under(job.traceparent):
                return Returned(_handler_at(job.address, job.kind).call(job.input, context))
        except BaseException as error:  # noqa: BLE001 - a handler's SystemExit ends its attempt
            return Raised(error)

    def _prepare(self) -> None:
        # With the first job, so that what an app raises is an error that somebody reads.
        if not self._is_ready:
            load_registry(self._settings["apps"])
            self._traces = open_traces(self._settings["otlp_endpoint"], self._settings["traces"], role=Role.WORKER)
            self._is_ready = True

    def _report(self, job: Job, fraction: float, message: str) -> None:
        word = [fraction, storable_text(message, chars_max=_MESSAGE_CHARS_MAX)]
        with self._sending:  # the handler may have threads
            if self._current is job:
                send_frame(self._connection, orjson.dumps({"progress": word}))


@cache
def _handler_at(address: Address, kind: str) -> Handler:
    function = function_at(address)
    return Handler(
        kind=kind, function=function, signature=inspect_handler(function, kind=kind), is_coroutine_function=False
    )
