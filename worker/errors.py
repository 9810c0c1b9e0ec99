"""The errors of the worker: two that handlers raise to steer retries, and those that an attempt ends with."""

from signal import Signals

from ledger.errors import HandlerNotFoundError, LedgerError

_PROBLEMS_SHOWN_MAX = 10


class NonRetryable(Exception):  # noqa: N818 - handlers read better: raise NonRetryable("the card was stolen")
    """Raise it in a handler to make the task FAILED at once, whatever is left of its attempts."""


class RetryAfter(Exception):  # noqa: N818 - handlers read better: raise RetryAfter(30)
    """Raise it in a handler to fail the attempt, and to choose how long the task waits before the next one."""

    def __init__(self, seconds: float, message: str = "") -> None:
        self.seconds = float(seconds)
        super().__init__(message or f"to be retried after {self.seconds:g} s")


class InvalidInputError(LedgerError):
    """The task's input does not fit the handler's annotation."""

    def __init__(self, *, kind: str, problems: tuple[str, ...]) -> None:
        self.kind = kind
        self.problems = problems
        more = len(problems) - _PROBLEMS_SHOWN_MAX
        tail = f"; and {more} more" if more > 0 else ""
        super().__init__(
            f"the input does not fit the handler of {kind!r}: {'; '.join(problems[:_PROBLEMS_SHOWN_MAX])}{tail}"
        )


class ResultRefusedError(LedgerError):
    """The handler's result cannot be stored: it is too large, or no JSON."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the result cannot be stored: {reason}")


class AttemptTimeoutError(LedgerError):
    """The attempt reached its deadline."""

    def __init__(self, *, timeout_seconds: float) -> None:
        self.timeout_seconds = timeout_seconds
        super().__init__(f"the attempt did not end within its {timeout_seconds:g} s")


class AttemptInterruptedError(LedgerError):
    """The worker was stopped before the attempt ended."""

    def __init__(self) -> None:
        super().__init__("the worker was stopped before the attempt ended; this costs the task no attempt")


class ProcessDiedError(LedgerError):
    """The process of a handler ended by itself before the handler did.

    Attributes:
        exit_code: as of `subprocess`: below 0 it is the number of the signal that ended it.
    """

    def __init__(self, *, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(f"the process of the handler died: {_ended_by(exit_code)}")


class TransactionRefusedError(LedgerError):
    """The handler cannot commit together with its outcome."""

    def __init__(self) -> None:
        super().__init__(
            "context.transaction and context.complete need an async handler, and a worker whose ledger is Postgres"
        )


class CompletionLostError(LedgerError):
    """The handler completed its attempt in a transaction that was not committed, and then returned."""

    def __init__(self) -> None:
        super().__init__("the transaction in which the handler completed its attempt was not committed")


# No further attempt would mend these.
HOPELESS = (NonRetryable, InvalidInputError, ResultRefusedError, HandlerNotFoundError, TransactionRefusedError)


def _ended_by(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        name = Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"
    return f"{name} (the machine may be out of memory)" if name == "SIGKILL" else name
