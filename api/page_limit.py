"""The bound of a page: how many entries one answer may list."""

from typing import Protocol

from api.errors import InvalidRequestError, Part
from ledger.errors import InvalidValueError


class PageQuery(Protocol):
    """A question about a page, with a default for how many entries it has."""

    limit: int

    @property
    def model_fields_set(self) -> set[str]:
        """What the client has given."""


def page_limit(asked: PageQuery, *, limit_max: int) -> int:
    """Return how many entries to list: what is asked for, else the default, as far as LEDGER_PAGE_SIZE_MAX allows.

    Raises:
        InvalidRequestError: more is asked for than LEDGER_PAGE_SIZE_MAX.
    """
    if "limit" not in asked.model_fields_set:
        return min(asked.limit, limit_max)
    check_page_limit(asked.limit, limit_max=limit_max)
    return asked.limit


def check_page_limit(limit: int, *, limit_max: int) -> None:
    """Raise InvalidRequestError where more is asked for than LEDGER_PAGE_SIZE_MAX."""
    if limit > limit_max:
        refusal = InvalidValueError(field="limit", bound=f"at most {limit_max}", value=limit)
        raise InvalidRequestError(Part.QUERY, str(refusal))
