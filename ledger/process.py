"""How a process of Task Ledger lives: it runs until it is told to stop, and its exit code says why it ended."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress

import structlog

from ledger.envelope import ended
from ledger.errors import LedgerError, StopAskedError
from ledger.exit_codes import ExitCode
from ledger.logs import configure_logging

log = structlog.get_logger()


def run(command: Coroutine[None, None, None]) -> None:
    """Run a coroutine on an event loop of its own; standard output is for the answer, logs go elsewhere."""
    configure_logging()
    try:
        import uvloop  # noqa: PLC0415 - not on every platform, and not cheap for a command that only prints
    except ImportError:
        asyncio.run(command)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(command)


@asynccontextmanager
async def running_until(stop: asyncio.Event, *loops: Awaitable[None]) -> AsyncIterator[None]:
    """Run endless loops while the body runs and beyond, until `stop` is set; then cancel them and wait for them.

    A loop that fails takes everything down with it: a process that does half of its work is worse than none.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_as_coroutine(loop)) for loop in loops]
        try:
            yield
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()


async def _as_coroutine(loop: Awaitable[None]) -> None:
    await loop


async def until_stopped(role: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run a role until it ends, or until it has left because a signal asked it to; a second signal cancels it."""
    stop = asyncio.Event()
    running = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def ask(name: str) -> None:
        if stop.is_set() and running is not None:
            running.cancel()
            return
        log.info("process.stopping", signal=name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask, number.name)
    try:
        await role(stop)
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        raise ended(ExitCode.INTERRUPTED, "interrupted") from None
    except StopAskedError:
        log.info("process.stopped_early")
    except BaseExceptionGroup as group:
        raise _first_of(group) from group
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(ValueError):
                loop.remove_signal_handler(number)


def _first_of(group: BaseExceptionGroup) -> BaseException:
    ours = group.subgroup(LedgerError) or group
    error: BaseException = ours
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
