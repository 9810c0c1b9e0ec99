"""How a process of Task Ledger lives: it runs until it is told to stop, and its exit code says why it ended."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from enum import IntEnum

import structlog
import typer

from ledger.errors import (
    ApiKeyNotFoundError,
    ApiKeyStateError,
    ArchiveRefusedError,
    BrokerUnavailableError,
    BulkActNotFoundError,
    ConfigurationError,
    DataDirectoryInUseError,
    DeadLetterNotFoundError,
    DeadLetterStateError,
    ErasureNotFoundError,
    InvalidInputError,
    LedgerError,
    PayloadKeyMissingError,
    ScheduleNotFoundError,
    StopAskedError,
    StoreUnavailableError,
    TaskNotFoundError,
    TaskStateError,
)
from ledger.logs import configure_logging
from ledger.webhooks.errors import WebhookDeliveryNotFoundError, WebhookNotFoundError, WebhookStateError
from ledger.workers.errors import WorkerNotFoundError, WorkerStateError

log = structlog.get_logger()


class ExitCode(IntEnum):
    """What the exit code of a command says."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    CONFLICT = 5
    TIMEOUT = 6
    INTERRUPTED = 130


_CODES: tuple[tuple[type[LedgerError], ExitCode], ...] = (
    (ConfigurationError, ExitCode.USAGE),
    (InvalidInputError, ExitCode.USAGE),
    (TaskNotFoundError, ExitCode.NOT_FOUND),
    (ScheduleNotFoundError, ExitCode.NOT_FOUND),
    (DeadLetterNotFoundError, ExitCode.NOT_FOUND),
    (ApiKeyNotFoundError, ExitCode.NOT_FOUND),
    (BulkActNotFoundError, ExitCode.NOT_FOUND),
    (WorkerNotFoundError, ExitCode.NOT_FOUND),
    (ErasureNotFoundError, ExitCode.NOT_FOUND),
    (PayloadKeyMissingError, ExitCode.CONFLICT),
    (WebhookNotFoundError, ExitCode.NOT_FOUND),
    (WebhookDeliveryNotFoundError, ExitCode.NOT_FOUND),
    (StoreUnavailableError, ExitCode.UNREACHABLE),
    (BrokerUnavailableError, ExitCode.UNREACHABLE),
    (DataDirectoryInUseError, ExitCode.CONFLICT),
    (TaskStateError, ExitCode.CONFLICT),
    (ApiKeyStateError, ExitCode.CONFLICT),
    (DeadLetterStateError, ExitCode.CONFLICT),
    (WorkerStateError, ExitCode.CONFLICT),
    (WebhookStateError, ExitCode.CONFLICT),
    (ArchiveRefusedError, ExitCode.CONFLICT),
)


def exit_code(error: LedgerError) -> ExitCode:
    """Return the exit code that an error ends a command with."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILURE)


def run_command(command: Coroutine[None, None, None]) -> None:
    """Run a command to its end; an error of ours becomes one sentence on standard error and an exit code."""
    configure_logging()  # standard output is for the answer
    try:
        _run(command)
    except LedgerError as error:
        raise _ended_by(error) from error
    except KeyboardInterrupt as error:
        raise typer.Exit(ExitCode.INTERRUPTED) from error


def run_role(role: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run a role until it ends or SIGTERM or SIGINT asks it to stop; a second signal ends it at once.

    The role gets an event that is set when it is asked; it then has to leave by itself.
    """
    run_command(_until_stopped(role))


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


async def _until_stopped(role: Callable[[asyncio.Event], Awaitable[None]]) -> None:
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
        raise typer.Exit(ExitCode.INTERRUPTED) from None
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


def _run(command: Coroutine[None, None, None]) -> None:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform, and not cheap for a command that only prints
    except ImportError:
        asyncio.run(command)
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(command)


def _ended_by(error: LedgerError) -> typer.Exit:
    typer.echo(f"taskledger: {error}", err=True)
    return typer.Exit(exit_code(error))
