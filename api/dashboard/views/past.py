"""The time machine: the whole ledger at a moment, and what became of its tasks between two."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from api.dashboard.ask import AnsweredProblemError, Visit

_STEPS = (("1 min", 1), ("15 min", 15), ("1 h", 60), ("1 d", 1440), ("7 d", 10_080))


async def past(visit: Visit) -> Mapping[str, Any]:
    """Gather the ledger at a moment, or between two."""
    since, until = _rfc_3339(visit.query.get("from")), _rfc_3339(visit.query.get("to"))
    now = datetime.now(UTC)
    seen: dict[str, Any] = {
        "since": since,
        "until": until,
        "steps": [(name, f"{now - timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}") for name, minutes in _STEPS],
        "then": None,
        "diff": None,
        "refusal": None,
    }
    try:
        if since:
            seen["diff"] = await visit.get("/ledger/diff", {"from": since, "to": until})
        else:
            seen["then"] = await visit.get("/ledger", {"as_of": until})
    except AnsweredProblemError as error:
        seen["refusal"] = error.problem.get("error")
    return seen


def _rfc_3339(text: str | None) -> str | None:
    # What a browser's field for a date and a time sends has neither seconds nor an offset: it is meant in UTC.
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text  # the API says what is wrong with it
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
