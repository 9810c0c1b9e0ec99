"""The shapes of requests about queues; `ledger.queues.settings` has the last word about the bounds."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import REASON_CHARS_MAX, WITHOUT_NUL_PATTERN, Text
from ledger.queues.settings import (
    CONCURRENCY_MAX,
    RATE_MAX,
    RATE_SECONDS_MAX,
    RATE_SECONDS_MIN,
    TENANT_CHARS_MAX,
    WEIGHT_MAX,
    WEIGHT_MIN,
    WEIGHTS_MAX,
)

_ID_MAX = 2**63 - 1


def _count(most: int) -> dict[str, Any]:
    return {"minimum": 1, "maximum": most}


_SECONDS: dict[str, Any] = {"minimum": RATE_SECONDS_MIN, "maximum": RATE_SECONDS_MAX}


class QueueSettingsGiven(BaseModel):
    """All that is to be set for a queue: what is absent or null has no bound afterwards."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"concurrency_max": 3},
                {"rate_max": 100, "rate_s": 60, "key_concurrency_max": 1, "reason": "the supplier's quota"},
                {"concurrency_max": 20, "fair": True, "weights": {"acme": 2}},
            ]
        },
    )

    concurrency_max: int | None = Field(
        None,
        description="How many of its tasks may be let through and unfinished at once.",
        json_schema_extra=_count(CONCURRENCY_MAX),
    )
    key_concurrency_max: int | None = Field(
        None, description="The same for the tasks of one `key`.", json_schema_extra=_count(CONCURRENCY_MAX)
    )
    rate_max: int | None = Field(
        None,
        description="How many of its tasks may start within any `rate_s` seconds; both or neither.",
        json_schema_extra=_count(RATE_MAX),
    )
    rate_s: float | None = Field(None, json_schema_extra=_SECONDS)
    key_rate_max: int | None = Field(
        None,
        description="The same for the tasks of one `key`, in `key_rate_s` seconds.",
        json_schema_extra=_count(RATE_MAX),
    )
    key_rate_s: float | None = Field(None, json_schema_extra=_SECONDS)
    fair: bool = Field(default=False, description="Whether tenants (the tag `tenant:…`) take turns.")
    weights: dict[str, float] = Field(
        {},
        description=f"A tenant's share of the turns, {WEIGHT_MIN:g} to {WEIGHT_MAX:g}; 1 where it is not named.",
        json_schema_extra={
            "maxProperties": WEIGHTS_MAX,
            "propertyNames": {"minLength": 1, "maxLength": TENANT_CHARS_MAX, "pattern": WITHOUT_NUL_PATTERN},
            "additionalProperties": {"type": "number", "minimum": WEIGHT_MIN, "maximum": WEIGHT_MAX},
        },
    )
    reason: Text = Field("", max_length=REASON_CHARS_MAX)


class ReasonQuery(BaseModel):
    """Why somebody changes something; it goes into the history."""

    model_config = ConfigDict(extra="forbid")

    reason: Text = Field("", max_length=REASON_CHARS_MAX)


class ChangesQuery(BaseModel):
    """Which changes of a queue to show."""

    model_config = ConfigDict(extra="forbid")

    before: int | None = Field(None, ge=1, le=_ID_MAX, description="Only the changes before this one's id.")
    limit: int = Field(50, ge=1, description="How many changes at most.")
