"""Places: how many requests may wait at the same time in this process; whoever finds none has to come again."""

from collections.abc import Iterator
from contextlib import contextmanager

from api.errors import TooManyWaitingError


class Places:
    """A number of places.

    Args:
        setting: the name of the setting that bounds it.
    """

    def __init__(self, places_max: int, *, setting: str) -> None:
        self._places_max = places_max
        self._setting = setting
        self.taken_count = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a place while the context is open.

        Raises:
            TooManyWaitingError: there is none.
        """
        if self.taken_count >= self._places_max:
            raise TooManyWaitingError(places_max=self._places_max, setting=self._setting)
        self.taken_count += 1
        try:
            yield
        finally:
            self.taken_count -= 1
