"""When a request is sent again: what cannot double, with full jitter, within a budget.

Full jitter: a random part of an exponential bound, so that those who failed together do not come again together.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from secrets import SystemRandom
from typing import Any, Generic, TypeVar

from api.sdk.calls import Answer, Call
from api.sdk.errors import ClientSettingError, ConnectionFailedError, error_of

_DOUBLINGS_MAX = 30
_PASSING = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
# Answers after which nothing has been recorded for certain, so that anything may be sent again.
_UNTOUCHED = frozenset({"too-many-batches", "too-many-waiting", "unwritable", "not-ready", "key-in-flight"})
_random = SystemRandom()

Answered = TypeVar("Answered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often and how long to try.

    Attributes:
        seconds_max: for how long, counted from the first attempt (of a stream: from the last sign of life).
        attempts_max: how many attempts in all; 1 tries once.
        base_seconds: the bound of the first pause; it doubles with each.
        cap_seconds: the bound of every pause.
    """

    seconds_max: float = 30.0
    attempts_max: int = 20
    base_seconds: float = 0.1
    cap_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what is no bound."""
        if self.attempts_max < 1:
            raise ClientSettingError(f"attempts_max must be at least 1, got {self.attempts_max}")
        for name in ("seconds_max", "base_seconds", "cap_seconds"):
            if not getattr(self, name) >= 0:
                raise ClientSettingError(f"{name} must be at least 0, got {getattr(self, name)}")

    def pause_seconds(self, attempts: int) -> float:
        """Return how long to wait after so many attempts."""
        bound = self.base_seconds * 2.0 ** min(attempts - 1, _DOUBLINGS_MAX)
        return _random.uniform(0.0, min(self.cap_seconds, bound))


class Trial(Generic[Answered]):
    """The attempts of one call; says after each whether and when there is another."""

    def __init__(
        self, call: Call[Answered], retries: Retries, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._call = call
        self._retries = retries
        self._clock = clock
        self._attempts = 0
        self._began = clock()
        self._is_in_doubt = False

    def is_alive(self) -> None:
        """Begin to count anew: what was asked for works."""
        self._attempts = 0
        self._began = self._clock()

    def pause_after_answer(self, answer: Answer) -> float | None:
        """Return how long to wait before the next attempt; None where the answer is one.

        Raises:
            ApiError: it is a refusal that stays, or there is no further attempt.
        """
        if answer.status < HTTPStatus.MULTIPLE_CHOICES:
            return None
        refusal = answer.refusal()
        pause = (
            self._pause(refusal.retry_after_seconds) if self._may_pass(answer.status, refusal.problem) else None
        )
        if pause is None:
            raise error_of(refusal)
        return pause

    def pause_after_failure(self, error: Exception, *, was_sent: bool) -> float:
        """Return how long to wait before the next attempt, when no answer came.

        Raises:
            ConnectionFailedError: there is no further attempt.
        """
        self._is_in_doubt |= was_sent
        pause = self._pause(None) if self._call.is_repeatable or not was_sent else None
        if pause is None:
            raise ConnectionFailedError(
                method=self._call.method,
                path=self._call.path,
                reason=str(error) or type(error).__name__,
                is_in_doubt=self._is_in_doubt and self._call.method != "GET",
            ) from error
        return pause

    def broken(self, error: Exception) -> ConnectionFailedError:
        """Return the error for an answer that broke off when a part of it had been handed on."""
        return ConnectionFailedError(
            method=self._call.method, path=self._call.path, reason=str(error), is_in_doubt=False
        )

    def _may_pass(self, status: int, problem: str) -> bool:
        if status == HTTPStatus.TOO_MANY_REQUESTS or problem in _UNTOUCHED:
            return True
        return status in _PASSING and self._call.is_repeatable

    def _pause(self, retry_after_seconds: float | None) -> float | None:
        self._attempts += 1
        pause = (retry_after_seconds or 0.0) + self._retries.pause_seconds(self._attempts)
        is_spent = self._attempts >= self._retries.attempts_max
        return None if is_spent or self._clock() - self._began + pause > self._retries.seconds_max else pause


AnyTrial = Trial[Any]
