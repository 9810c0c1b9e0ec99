"""What goes wrong, grouped: pages of failure groups, and one of them with its trend, from `failure_groups`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from api.errors import FailureGroupNotFoundError
from api.read_model_rows import read_rows
from ledger.bootstrap import Ledger
from ledger.dead_letters.letters import Place
from projections.failure_groups import FAILURE_GROUPS

_HOURS_MAX = 24 * 14
_BEGINNING = datetime(1970, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureFilter:
    """Which groups are meant; None stands for all."""

    kind: str | None = None
    queue: str | None = None
    since: datetime | None = None


class FailureReader:
    """Reads failure groups."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def page(self, asked: FailureFilter, *, below: Place, limit: int) -> Sequence[Mapping[str, Any]]:
        """Return a page of groups, the latest failure first.

        Raises:
            ReadModelMissingError: there is no read model.
            StoreUnavailableError: the database is out of reach.
        """
        since = max(asked.since or _BEGINNING, _BEGINNING)
        rows = await read_rows(
            self._ledger, FAILURE_GROUPS, "list_failure_groups",
            *(asked.kind, asked.queue, since, below.died_at, below.letter_id, limit),
        )  # fmt: skip
        return [_body(dict(row)) for row in rows]

    async def show(self, failure_id: UUID) -> Mapping[str, Any]:
        """Return a group with its trend: the last hours that have a failure of it, oldest first.

        Raises:
            FailureGroupNotFoundError: there is none.
            ReadModelMissingError: there is no read model.
            StoreUnavailableError: the database is out of reach.
        """
        found = await read_rows(self._ledger, FAILURE_GROUPS, "find_failure_group", failure_id)
        if not found:
            raise FailureGroupNotFoundError(failure_id)
        hours = await read_rows(self._ledger, FAILURE_GROUPS, "read_failure_trend", failure_id, _HOURS_MAX)
        return {**_body(dict(found[0])), "trend": [dict(hour) for hour in reversed(hours)]}


def _body(row: Mapping[str, object]) -> dict[str, object]:
    renamed = {"group_id": "id", "error_type": "type"}
    return {renamed.get(name, name): value for name, value in row.items()}
