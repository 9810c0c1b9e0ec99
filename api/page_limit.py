"""The bound of a page: how many entries one answer may list."""

from api.errors import InvalidRequestError, Part
from ledger.errors import InvalidValueError


def check_page_limit(limit: int, *, limit_max: int) -> None:
    """Raise InvalidRequestError where more is asked for than LEDGER_PAGE_SIZE_MAX."""
    if limit > limit_max:
        refusal = InvalidValueError(field="limit", bound=f"at most {limit_max}", value=limit)
        raise InvalidRequestError(Part.QUERY, str(refusal))
