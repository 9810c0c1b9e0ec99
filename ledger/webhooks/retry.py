"""When a delivery that failed is tried again, and when an endpoint has failed too often."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from ledger.settings import Settings
from ledger.webhooks.endpoint import WebhookState

_MAY_SAY_WHEN = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_DOUBLINGS_MAX = 32
_DIGITS_MAX = 9
_random = random.SystemRandom()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one request; without a status nothing was answered.

    Attributes:
        error: why it was no success, in words.
        response: the begin of the body, as text.
        retry_after: what the header of that name says.
    """

    status: int | None = None
    error: str = ""
    response: str = ""
    retry_after: str | None = None
    duration_ms: int = 0

    @property
    def is_success(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


@dataclass(frozen=True, slots=True)
class Setback:
    """What follows from a failure: the state that the endpoint is in, why, and how long it waits."""

    state: WebhookState
    reason: str
    wait_seconds: float


def setback_of(
    answer: Answer,
    *,
    failures: int,
    settings: Settings,
    now: datetime,
    jitter: Callable[[float, float], float] = _random.uniform,
) -> Setback:
    """Return what follows from a failure, which is number `failures` in a row.

    Full jitter over LEDGER_WEBHOOK_RETRY_BASE_SECONDS * 2 ** (failures - 1), at most
    LEDGER_WEBHOOK_RETRY_CAP_SECONDS; what a 429 or a 503 asks for is waited, up to
    LEDGER_WEBHOOK_RETRY_AFTER_SECONDS_MAX.
    """
    if answer.status == HTTPStatus.GONE:
        return Setback(WebhookState.PAUSED, "the receiver answered 410 Gone: it wants no more", 0)
    if failures >= settings.webhook_tries_max:
        reason = f"{failures} tries in a row failed (LEDGER_WEBHOOK_TRIES_MAX); the last: {answer.error}"
        return Setback(WebhookState.FAILING, reason, 0)
    doubled = settings.webhook_retry_base_seconds * 2 ** min(failures - 1, _DOUBLINGS_MAX)
    seconds = jitter(0.0, min(doubled, settings.webhook_retry_cap_seconds))
    if answer.status in _MAY_SAY_WHEN and answer.retry_after is not None:
        asked = retry_after_seconds(answer.retry_after, now=now)
        seconds = max(seconds, min(asked, settings.webhook_retry_after_seconds_max))
    return Setback(WebhookState.ACTIVE, "", seconds)


def retry_after_seconds(text: str, *, now: datetime) -> float:
    """Return how long a Retry-After header (RFC 9110, 10.2.3) asks to wait; 0 for what is not understood."""
    word = text.strip()
    if word.isascii() and word.isdecimal():
        return float(word[: _DIGITS_MAX + 1])
    try:
        moment = parsedate_to_datetime(word)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
