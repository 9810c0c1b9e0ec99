"""An outage as a role lives through it: said when it begins and ends, waited out with backoff."""

import asyncio
import time
from collections.abc import Mapping
from secrets import SystemRandom

import structlog

from ledger.errors import LedgerError

log = structlog.get_logger()

_FIRST_SECONDS = 0.1
_SAY_AGAIN_SECONDS = 60.0
_DOUBLINGS_MAX = 20
_random = SystemRandom()


class Outage:
    """What a role knows about the outage that it is in, if any.

    Args:
        role: stands in the log lines.
        retry_seconds_max: the longest wait between two tries.
    """

    def __init__(self, role: str, *, retry_seconds_max: float) -> None:
        self._role = role
        self._retry_seconds_max = retry_seconds_max
        self._failures = 0
        self._said_at = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the last try failed."""
        return self._failures > 0

    async def wait(self, error: Exception, **facts: object) -> None:
        """Note a failed try and wait before the next one: exponentially longer, the upper half of it by chance."""
        self._say(error, facts)
        seconds = min(self._retry_seconds_max, _FIRST_SECONDS * 2 ** min(self._failures, _DOUBLINGS_MAX))
        self._failures += 1
        await asyncio.sleep(seconds * _random.uniform(0.5, 1.0))

    def _say(self, error: Exception, facts: Mapping[str, object]) -> None:
        now = time.monotonic()
        if self._failures and now < self._said_at + _SAY_AGAIN_SECONDS:
            return
        self._said_at = now
        log.warning(
            "role.interrupted",
            role=self._role,
            error=type(error).__name__,
            reason=str(error),
            tries=self._failures + 1,
            exc_info=None if isinstance(error, LedgerError) else error,  # one of ours says it all in its sentence
            **facts,
        )

    def end(self) -> None:
        """Note that the role works (again); costs nothing where there was no outage."""
        if self._failures:
            log.info("role.resumed", role=self._role, tries=self._failures)
            self._failures = 0
