"""What is set for a queue: its bounds, and the commands that change it; every change is kept with who and why."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from ledger.errors import InvalidValueError
from ledger.jsonvalue import decode_json, encode_json
from ledger.queries import query
from ledger.read_model import fetch_rows
from ledger.specification import TAG_CHARS_MAX, check_queue_name, check_range, check_text
from ledger.store.connection import Database
from ledger.task_words import TENANT_TAG

CONCURRENCY_MAX = 1_000_000
RATE_MAX = 100_000
RATE_SECONDS_MIN = 0.1
RATE_SECONDS_MAX = 86_400.0
WEIGHTS_MAX = 1000
WEIGHT_MIN = 0.01
WEIGHT_MAX = 1000.0
TENANT_CHARS_MAX = TAG_CHARS_MAX - len(TENANT_TAG)
REASON_CHARS_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """What may be set for a queue, under the names of the API; None stands for no bound.

    Attributes:
        concurrency_max: how many of its tasks may be let through and unfinished at once.
        key_concurrency_max: the same for the tasks of one key.
        rate_max: how many of its tasks may start within any `rate_s` seconds.
        key_rate_max: how many of the tasks of one key may start within any `key_rate_s` seconds.
        fair: whether tenants take turns.
        weights: a tenant's share of the turns; 1 for whoever is not named.
    """

    concurrency_max: int | None = None
    key_concurrency_max: int | None = None
    rate_max: int | None = None
    rate_s: float | None = None
    key_rate_max: int | None = None
    key_rate_s: float | None = None
    fair: bool = False
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueChange:
    """One change of what is set for a queue; `change` is paused, resumed, set or reset."""

    id: int
    change: str
    settings: Mapping[str, JsonValue]
    actor: str
    reason: str
    recorded_at: datetime


def check_settings(settings: QueueSettings) -> None:
    """Raise InvalidValueError for the first setting out of its bound."""
    check_range("concurrency_max", settings.concurrency_max, 1, CONCURRENCY_MAX)
    check_range("key_concurrency_max", settings.key_concurrency_max, 1, CONCURRENCY_MAX)
    _check_rate("rate", settings.rate_max, settings.rate_s)
    _check_rate("key_rate", settings.key_rate_max, settings.key_rate_s)
    if len(settings.weights) > WEIGHTS_MAX:
        raise InvalidValueError(
            field="weights", bound=f"of at most {WEIGHTS_MAX} tenants", value=len(settings.weights)
        )
    for tenant, weight in settings.weights.items():
        check_text("a tenant of weights", tenant, chars_min=1, chars_max=TENANT_CHARS_MAX)
        check_range(f"weights.{tenant}", weight, WEIGHT_MIN, WEIGHT_MAX)


async def set_policy(
    database: Database, queue: str, settings: QueueSettings, *, actor: str, reason: str = ""
) -> bool:
    """Set everything that may be set for a queue; return whether anything changed. A pause stays as it is.

    Raises:
        InvalidValueError: a setting is out of its bound; nothing was changed.
    """
    check_settings(settings)
    given = asdict(settings)
    columns = {**given, "weights": encode_json(given["weights"], field="weights")}
    kept = encode_json(given, field="settings")
    return await _change(database, "set_queue", queue, *columns.values(), kept, actor=actor, reason=reason)


async def reset_policy(database: Database, queue: str, *, actor: str, reason: str = "") -> bool:
    """Take away all that is set for a queue, a pause excepted; return whether there was anything."""
    return await _change(database, "reset_queue", queue, actor=actor, reason=reason)


async def pause(database: Database, queue: str, *, actor: str, reason: str = "") -> bool:
    """Let no task of the queue start until it is resumed; return False where it was paused already."""
    return await _change(database, "pause_queue", queue, actor=actor, reason=reason)


async def resume(database: Database, queue: str, *, actor: str, reason: str = "") -> bool:
    """Let tasks of the queue start again; return False where it was not paused."""
    return await _change(database, "resume_queue", queue, actor=actor, reason=reason)


async def list_changes(
    database: Database, queue: str, *, before: int | None = None, limit: int
) -> Sequence[QueueChange]:
    """Return a page of the changes of a queue, newest first, of those older than `before`."""
    check_queue_name(queue)
    rows = await fetch_rows(database, "list_queue_changes", queue, before, limit)
    return [QueueChange(**{**row, "settings": _decoded(row["settings"])}) for row in map(dict, rows)]


def settings_of(row: Mapping[str, Any]) -> QueueSettings:
    """Return the settings in a row of the query `set_queues`."""
    return QueueSettings(
        concurrency_max=row["concurrency_max"],
        key_concurrency_max=row["key_concurrency_max"],
        rate_max=row["rate_max"],
        rate_s=row["rate_seconds"],
        key_rate_max=row["key_rate_max"],
        key_rate_s=row["key_rate_seconds"],
        fair=row["fair"],
        weights=_decoded(row["weights"]),
    )


async def _change(database: Database, name: str, queue: str, *arguments: object, actor: str, reason: str) -> bool:
    # Each of these statements writes the queue and its history at once, so it is a transaction by itself.
    check_queue_name(queue)
    check_text("reason", reason, chars_min=0, chars_max=REASON_CHARS_MAX)
    async with database.connection() as connection:
        return await connection.fetchval(query(name), queue, actor, reason, *arguments) is not None


def _check_rate(name: str, count_max: int | None, seconds: float | None) -> None:
    check_range(f"{name}_max", count_max, 1, RATE_MAX)
    check_range(f"{name}_s", seconds, RATE_SECONDS_MIN, RATE_SECONDS_MAX)
    if (count_max is None) != (seconds is None):
        missing, given = (f"{name}_max", f"{name}_s") if count_max is None else (f"{name}_s", f"{name}_max")
        raise InvalidValueError(field=missing, bound=f"given together with {given}", value=None)


def _decoded(text: str) -> dict[str, Any]:
    value = decode_json(text)
    return value if isinstance(value, dict) else {}
