"""Places: how many requests may wait, or run for long, at once in this process; whoever finds none comes again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from api.errors import TooManyWaitingError


class Places:
    """A number of places.

    Args:
        setting: the name of the setting that bounds it.
        refusal: makes the error for whoever finds none, of the number and the setting.
    """

    def __init__(
        self, places_max: int, *, setting: str, refusal: Callable[..., Exception] = TooManyWaitingError
    ) -> None:
        self._places_max = places_max
        self._setting = setting
        self._refusal = refusal
        self.taken_count = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a place while the context is open.

        Raises:
            TooManyWaitingError: there is none.
        """
        if self.taken_count >= self._places_max:
            raise self._refusal(places_max=self._places_max, setting=self._setting)
        self.taken_count += 1
        try:
            yield
        finally:
            self.taken_count -= 1
