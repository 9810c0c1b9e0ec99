"""The month: the tasks whose ids say that they were submitted in it, by UTC; one partition of the log."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Self
from uuid import UUID

from ledger.errors import InvalidValueError

_TEXT = re.compile(r"(\d{4})-(\d{2})")
_TABLE = re.compile(r"events_(\d{4})_(\d{2})")


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month by its first day."""

    first: date

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the month of a text like 2026-05; raises InvalidValueError."""
        month = cls._of(_TEXT.fullmatch(text))
        if month is None:
            raise InvalidValueError(field="MONTH", bound="a year and a month like 2026-05", value=text)
        return month

    @classmethod
    def of_table(cls, name: str) -> Self | None:
        """Return the month of a partition by its name; None for the default one."""
        return cls._of(_TABLE.fullmatch(name))

    @classmethod
    def _of(cls, match: re.Match[str] | None) -> Self | None:
        try:
            return None if match is None else cls(date(int(match[1]), int(match[2]), 1))
        except ValueError:
            return None

    @property
    def table(self) -> str:
        """The name of its table, in the log or beside it."""
        return f"events_{self.first:%Y_%m}"

    @property
    def ids(self) -> tuple[UUID, UUID]:
        """The least UUIDv7 of the month and the least beyond it."""
        return _least_id(self.first), _least_id(self.after)

    @property
    def after(self) -> date:
        """The first day of the next month."""
        years, months = divmod(self.first.month, 12)
        return date(self.first.year + years, months + 1, 1)

    def is_over(self, now: datetime) -> bool:
        """Say whether it has ended at a moment."""
        return now >= datetime(self.after.year, self.after.month, 1, tzinfo=UTC)

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.first:%Y-%m}"


def _least_id(day: date) -> UUID:
    # As ledger.least_task_id has it.
    milliseconds = int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()) * 1000
    return UUID(int=max(milliseconds, 0) << 80)
