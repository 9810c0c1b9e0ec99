"""How often a key may be used: a token bucket each, as large as a second's worth, in this process only."""

import time
from dataclasses import dataclass

from api.errors import RateExceededError

_BUCKETS_MAX = 10_000


@dataclass(slots=True)
class _Bucket:
    left: float
    filled_at: float


class Rates:
    """Counts the requests of each caller."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}

    def spend(self, actor: str, rate_max: int, *, now: float | None = None) -> None:
        """Count a request.

        Raises:
            RateExceededError: it is one too many; it says how long the caller has to wait.
        """
        now = time.monotonic() if now is None else now
        bucket = self._buckets.get(actor)
        if bucket is None:
            self._make_room()
            bucket = self._buckets[actor] = _Bucket(left=rate_max, filled_at=now)
        bucket.left = min(rate_max, bucket.left + (now - bucket.filled_at) * rate_max)
        bucket.filled_at = now
        if bucket.left < 1:
            raise RateExceededError(rate_max=rate_max, wait_seconds=(1 - bucket.left) / rate_max)
        bucket.left -= 1

    def _make_room(self) -> None:
        if len(self._buckets) >= _BUCKETS_MAX:
            self._buckets.clear()  # at worst everybody has a full bucket again
