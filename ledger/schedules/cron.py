"""Cron expressions: what the `cronsim` library says in our words; times in, times out, no clock.

Five fields as Debian's cron reads them. When the clocks change, a time of day that does not exist that day fires
at the first minute after the gap, and one that exists twice fires once, the first time. Where the minute or the
hour field begins with `*` it fires whenever a clock on the wall shows such a time: never in the gap, and twice in
the hour that comes twice.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from ledger.errors import InvalidValueError

CRON_CHARS_MAX = 200
TIME_ZONE_CHARS_MAX = 64
_FIELDS = 5
_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
# Names of the zone database that mean something else on every machine, or count leap seconds.
_NO_ZONES = ("localtime", "posix/", "right/")
_FIRST_WINDOW = timedelta(hours=1)


def check_cron(expression: str) -> None:
    """Raise InvalidValueError where the text is no cron expression of five fields, or its time never comes."""
    bound = f"a cron expression of {_FIELDS} fields"
    if len(expression) > CRON_CHARS_MAX or len(expression.split()) != _FIELDS:
        raise InvalidValueError(field="cron", bound=bound, value=expression)
    try:
        it_comes = next(CronSim(expression, _ANY_TIME), None) is not None
    except CronSimError as error:
        reason = str(error)
        raise InvalidValueError(field="cron", bound=f"{bound} ({_lowered(reason)})", value=expression) from error
    if not it_comes:
        raise InvalidValueError(field="cron", bound=f"{bound} that comes true some day", value=expression)


def check_time_zone(name: str) -> None:
    """Raise InvalidValueError where the name is none of the IANA time zone database."""
    try:
        if len(name) <= TIME_ZONE_CHARS_MAX and not name.startswith(_NO_ZONES):
            ZoneInfo(name)
            return
    except (KeyError, ValueError, OSError):  # not found, no plain name, a folder of the database
        pass
    raise InvalidValueError(
        field="time_zone", bound="a name of the IANA time zone database, for example Europe/Berlin", value=name
    )


def times_after(expression: str, time_zone: str, after: datetime) -> Iterator[datetime]:
    """Yield the times of a checked expression after a moment, in UTC, each later than the one before.

    They end where none comes within fifty years, and with the year 9999.
    """
    last = after
    with suppress(OverflowError):
        for time in CronSim(expression, after.astimezone(_zone(time_zone))):
            moment = time.astimezone(UTC)
            if moment > last:  # two local times can be one moment, or lie before the hour that comes twice
                yield moment
                last = moment


def newest_time(expression: str, time_zone: str, *, after: datetime, upto: datetime) -> datetime | None:
    """Return the last time of a checked expression in (after, upto], or None; costs little, however far apart."""
    window = _FIRST_WINDOW
    while True:
        start = max(after, upto - window)
        newest = None
        for time in times_after(expression, time_zone, start):
            if time > upto:
                break
            newest = time
        if newest is not None or start == after:
            return newest
        window *= 2


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
