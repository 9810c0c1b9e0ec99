"""What the exit code of a command says, and which error ends a command with which."""

from enum import IntEnum

from ledger.errors import (
    BrokerUnavailableError,
    ConfigurationError,
    ConflictError,
    InvalidInputError,
    LedgerError,
    NotFoundError,
    StoreUnavailableError,
    StoreUnwritableError,
    TimeExceededError,
)


class ExitCode(IntEnum):
    """What the exit code of a command says; a failure that a command found in what it looked at is a FAILURE."""

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
    (NotFoundError, ExitCode.NOT_FOUND),
    (StoreUnavailableError, ExitCode.UNREACHABLE),
    (StoreUnwritableError, ExitCode.UNREACHABLE),
    (BrokerUnavailableError, ExitCode.UNREACHABLE),
    (ConflictError, ExitCode.CONFLICT),
    (TimeExceededError, ExitCode.TIMEOUT),
)


def exit_code(error: LedgerError) -> ExitCode:
    """Return the exit code that an error ends a command with."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.FAILURE)
