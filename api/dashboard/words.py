"""How values look on a page: times, durations, JSON, and links that keep the filters of a page."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def moment(text: str | None) -> str:
    """Return a time as a page shows it: in UTC, to the millisecond."""
    return "" if not text else f"{parsed(text):%Y-%m-%d %H:%M:%S.%f}"[:-3]


def parsed(text: str) -> datetime:
    """Return the time of an RFC 3339 text."""
    return datetime.fromisoformat(text)


def seconds_between(begin: str | None, end: str | None) -> float | None:
    """Return how long it was from one time to another, or until now."""
    if not begin:
        return None
    until = parsed(end) if end else datetime.now(UTC)
    return (until - parsed(begin)) / timedelta(seconds=1)


def duration(seconds: float | None) -> str:
    """Return a duration as a page shows it, in the largest unit that leaves a number before the point."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.2f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:.0f} s"
    if seconds < _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"
    return f"{seconds // _DAY:.0f} d {seconds % _DAY // _HOUR:.0f} h"


def count(number: float | None) -> str:
    """Return a number with its thousands set apart."""
    return "" if number is None else f"{number:,.0f}".replace(",", "\u202f")


def size(octets: int) -> str:
    """Return how large a file is, in the largest unit that leaves a number before the point."""
    units = ("B", "kB", "MB", "GB", "TB")
    power = min((len(str(octets)) - 1) // 3, len(units) - 1)
    return f"{rate(octets / 1000**power)} {units[power]}"


def rate(number: float | None) -> str:
    """Return a rate with as many digits as say something."""
    return "" if number is None else f"{number:,.0f}" if number >= 100 else f"{number:.3g}"  # noqa: PLR2004 - three digits


def pretty(value: object) -> str:
    """Return a JSON value over several lines."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def short(value: object, length: int = 80) -> str:
    """Return a JSON value, or a text, on one line of at most this length."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def who(actor: str) -> str:
    """Return an actor as a page shows it: of a worker's long id its beginning."""
    kind, _, name = actor.partition(":")
    return f"{kind}:{name[:8]}…" if kind == "worker" and len(name) > 8 else actor  # noqa: PLR2004 - as git shortens


def with_query(query: Mapping[str, str] | object, **changes: str | None) -> str:
    """Return the query of a page with some parameters changed, or left out where they are None."""
    pairs = [(name, value) for name, value in _pairs(query) if name not in changes]
    pairs += [(name, value) for name, value in changes.items() if value]
    return f"?{urlencode(pairs)}" if pairs else "?"


def toggled(query: object, name: str, value: str) -> str:
    """Return the query of a page with one value of a parameter added, or taken away where it is there."""
    pairs = [pair for pair in _pairs(query) if pair[0] != "cursor"]
    one = (name, value)
    pairs = [pair for pair in pairs if pair != one] if one in pairs else [*pairs, one]
    return f"?{urlencode(pairs)}" if pairs else "?"


def _pairs(query: object) -> list[tuple[str, str]]:
    multi_items = getattr(query, "multi_items", None)
    if multi_items is not None:
        return list(multi_items())
    return list(query.items()) if isinstance(query, Mapping) else []
