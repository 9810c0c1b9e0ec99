"""Scripts: what takes several calls, written once; a client sends each call and hands back its answer."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from api.sdk.calls import Call
from api.sdk.errors import StillAtWorkError

Answered = TypeVar("Answered")
Seen = TypeVar("Seen")

LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for a while."""

    seconds: float


# A refusal is raised where the call was yielded.
Script = Generator[Call[Any] | Pause, Any, Answered]


def until(call: Call[Seen], is_done: Callable[[Seen], bool], *, what: str, timeout: float | None) -> Script[Seen]:
    """Look again and again until it is done, and return what was seen last.

    Raises:
        StillAtWorkError: it was not done after `timeout` seconds.
    """
    ends_at = None if timeout is None else time.monotonic() + timeout
    while True:
        seen: Seen = yield call
        if is_done(seen):
            return seen
        left = LOOK_SECONDS if ends_at is None else ends_at - time.monotonic()
        if timeout is not None and left <= 0:
            raise StillAtWorkError(what, seconds=timeout)
        yield Pause(min(LOOK_SECONDS, left))
