"""An outage as a role lives through it: said once, waited out with backoff, and said once when it is over."""

import asyncio
from secrets import SystemRandom

import structlog

log = structlog.get_logger()

_FIRST_SECONDS = 0.1
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

    async def wait(self, error: Exception) -> None:
        """Note a failed try and wait before the next one: exponentially longer, the upper half of it by chance."""
        if self._failures == 0:
            log.warning("role.interrupted", role=self._role, error=type(error).__name__, reason=str(error))
        seconds = min(self._retry_seconds_max, _FIRST_SECONDS * 2 ** min(self._failures, _DOUBLINGS_MAX))
        self._failures += 1
        await asyncio.sleep(seconds * _random.uniform(0.5, 1.0))

    def end(self) -> None:
        """Note that the role works (again); costs nothing where there was no outage."""
        if self._failures:
            log.info("role.resumed", role=self._role, tries=self._failures)
            self._failures = 0
