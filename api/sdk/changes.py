"""What was changed about a queue, a schedule, a webhook or a worker: one shape for all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.sdk.calls import Call, Cursor, Page, look, page_reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change.

    Attributes:
        change: what was done, in a word.
        settings: what was set then, of a queue.
        definition: what was set then, of a schedule or a webhook.
    """

    id: int
    change: str
    actor: str
    reason: str
    recorded_at: datetime
    settings: Mapping[str, Any] = field(default_factory=dict)
    definition: Mapping[str, Any] = field(default_factory=dict)


def changes_of(*parts: object, before: Cursor) -> Call[Page[Change]]:
    """Return the call for a page of the changes of what these parts of a path name, newest first."""
    return look(page_reader(Change, "changes", "next_before"), *parts, "changes", query={"before": before})
