"""The shapes of requests and answers about erasures by tag."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import REASON_CHARS_MAX, Tag, Text
from ledger.payloads.orders import ErasureOrder


class ErasureRequest(BaseModel):
    """Whose payloads to erase, and why."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"tag": "customer:4711", "reason": "asked to be forgotten", "dry_run": False}]
        },
    )

    tag: Tag = Field(description="All erasable tasks that have it.")
    reason: Text = Field(
        "", max_length=REASON_CHARS_MAX, description="Why; it goes into the history of each task."
    )
    dry_run: bool = Field(default=True, description="Only say how many there are.")


class ErasureCount(BaseModel):
    """How many tasks an erasure would find."""

    dry_run: Literal[True]
    tag: str
    count: int


class ErasureShown(BaseModel):
    """An erasure by tag, and how far it has come."""

    erasure_id: UUID
    tag: str
    actor: str
    reason: str
    state: str = Field(description="running, done.")
    found: int = Field(description="How many tasks with the tag had a key when it was ordered.")
    erased: int
    unfinished: int = Field(
        description="How many were left alone because they were not finished: order it again when they are."
    )
    ordered_at: datetime
    ended_at: datetime | None


def erasure_body(order: ErasureOrder) -> dict[str, object]:
    """Return an erasure by tag as the API shows it."""
    return {
        "erasure_id": order.order_id,
        "tag": order.tag,
        "actor": order.actor,
        "reason": order.reason,
        "state": order.state,
        "found": order.found,
        "erased": order.erased,
        "unfinished": order.unfinished,
        "ordered_at": order.ordered_at,
        "ended_at": order.ended_at,
    }
