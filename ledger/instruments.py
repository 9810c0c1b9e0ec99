"""The instruments of a process: what it counts with, and what it traces with; handed down, never global."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec

import structlog

from ledger.measures import Measures
from ledger.settings import Settings
from ledger.telemetry import Role
from ledger.traces import Traces

log = structlog.get_logger()

CONSOLE = "console"
_CLOSE_SECONDS_MAX = 3.0


@dataclass(frozen=True, slots=True)
class Instruments:
    """What a process tells of itself with.

    Attributes:
        traces: None where they are off.
        role: which process it is; None for a command.
    """

    measures: Measures = field(default_factory=Measures)
    traces: Traces | None = None
    role: Role | None = None


@asynccontextmanager
async def open_instruments(settings: Settings, *, role: Role | None) -> AsyncIterator[Instruments]:
    """Open the instruments of a process; a command that is no role traces nothing."""
    traces = None if role is None else open_traces(settings.otlp_endpoint, settings.traces, role=role)
    try:
        yield Instruments(Measures(settings.metrics_names_max), traces, role)
    finally:
        if traces is not None:
            await _close(traces)


def open_traces(otlp_endpoint: str | None, form: str, *, role: Role) -> Traces | None:
    """Open the traces where OTEL_EXPORTER_OTLP_ENDPOINT or LEDGER_TRACES asks for them and they are installed."""
    if otlp_endpoint is None and form != CONSOLE:
        return None
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        log.warning("traces.unavailable", reason="they need the extra `otel`: pip install 'task-ledger[otel]'")
        return None
    from ledger.open_telemetry import open_open_telemetry  # noqa: PLC0415 - an extra, and off by default

    return open_open_telemetry(otlp_endpoint, to_console=form == CONSOLE, role=role)


async def _close(traces: Traces) -> None:
    # Whoever collects them may be away. The loop's own threads would be waited for at the exit, a daemon is not.
    loop, closed = asyncio.get_running_loop(), asyncio.Event()

    def close() -> None:
        traces.close()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=close, name="traces-close", daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_SECONDS_MAX):
            await closed.wait()
