"""The shapes of webhooks over HTTP: what is accepted, and what is answered.

`ledger.webhooks.endpoint` has the last word on every bound, over HTTP and without.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema
from pydantic.config import JsonDict

from api.schemas import POSITION_MAX, REASON_CHARS_MAX, Text
from ledger.codec import EVENT_TYPES
from ledger.specification import KIND_PATTERN, QUEUE_PATTERN
from ledger.webhooks.commands import ROTATION_SECONDS_MAX
from ledger.webhooks.endpoint import (
    BATCH_MAX,
    NAME_PATTERN,
    TYPES_MAX,
    URL_CHARS_MAX,
    WORD_CHARS_MAX,
    WebhookStart,
    WebhookState,
)

LISTED_DEFAULT = 100
_ID_MAX = 2**63 - 1
_SECRET = "`whsec_` and the base64 of 24 to 64 bytes; one is made when absent, and shown once."  # noqa: S105 - words


_SIGNING_PATTERN = (
    r"^whsec_(([A-Za-z0-9+/]{4}){8,20}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
    r"|([A-Za-z0-9+/]{4}){21}([A-Za-z0-9+/]{2}==)?)$"
)
# The signature's own check refuses it, with a sentence that does not repeat it.
Secret = Annotated[str, WithJsonSchema({"type": "string", "pattern": _SIGNING_PATTERN})]


class Outcome(StrEnum):
    """What became of a delivery."""

    QUEUED = "queued"
    DELIVERED = "delivered"
    FAILED = "failed"
    SKIPPED = "skipped"


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


_WORD: JsonDict = {"minLength": 1, "maxLength": WORD_CHARS_MAX}


class WebhookFilter(_Request):
    """Which events are sent; what is absent or null stands for all."""

    types: list[Text] | None = Field(
        None,
        description="Events of any of these types.",
        json_schema_extra={
            "minItems": 1,
            "maxItems": TYPES_MAX,
            "items": {"type": "string", "enum": list(EVENT_TYPES)},
        },
    )
    kind: str | None = Field(None, json_schema_extra={"pattern": KIND_PATTERN})
    queue: str | None = Field(None, json_schema_extra={"pattern": QUEUE_PATTERN})
    actor: Text | None = Field(None, description="Decided by exactly this actor.", json_schema_extra=_WORD)
    correlation_id: Text | None = Field(None, description="Of this story.", json_schema_extra=_WORD)


class WebhookBody(_Request):
    """Where events go, and which."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"url": "https://example.org/hooks/tasks"},
                {
                    "url": "https://example.org/hooks/tasks",
                    "filter": {"types": ["task.completed", "task.failed"], "queue": "mail"},
                    "start": "beginning",
                    "reason": "the invoice system follows along",
                },
            ]
        }
    )

    url: str = Field(
        description="http or https, without credentials.", json_schema_extra={"maxLength": URL_CHARS_MAX}
    )
    filter: WebhookFilter = Field(default_factory=WebhookFilter)
    batch_max: int = Field(
        1,
        description="1: each event by itself. More: up to so many in a JSON array.",
        json_schema_extra={"minimum": 1, "maximum": BATCH_MAX},
    )
    start: int | str = Field(
        WebhookStart.NOW.value,
        description="Where a new endpoint starts: `now`, `beginning`, or after a position.",
        json_schema_extra={
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": POSITION_MAX},
                {"type": "string", "enum": list(WebhookStart)},
            ]
        },
    )
    secret: Secret | None = Field(None, description=f"Of a new endpoint: {_SECRET}")
    reason: Text = Field("", max_length=REASON_CHARS_MAX)


class SkipBody(_Request):
    """Which event is left out, and why."""

    event_id: Text = Field(description="`task_id:version` of the event that is next.", max_length=WORD_CHARS_MAX)
    reason: Text = Field(min_length=1, max_length=REASON_CHARS_MAX)


class RotateBody(_Request):
    """How the secret changes."""

    secret: Secret | None = Field(None, description=_SECRET)
    overlap_s: float | None = Field(
        None,
        description="How long the secret before signs as well; LEDGER_WEBHOOK_ROTATION_SECONDS when absent.",
        json_schema_extra={"minimum": 0, "maximum": ROTATION_SECONDS_MAX},
    )
    reason: Text = Field("", max_length=REASON_CHARS_MAX)


class WebhookListQuery(BaseModel):
    """Which webhooks to list."""

    model_config = ConfigDict(extra="forbid")

    after: Text = Field("", max_length=64, description="The `next_after` of the page before.")
    limit: int = Field(LISTED_DEFAULT, ge=1, description="How many at most.")


class DeliveriesQuery(BaseModel):
    """Which deliveries to show."""

    model_config = ConfigDict(extra="forbid")

    outcome: Outcome | None = None
    before: int | None = Field(None, ge=1, le=_ID_MAX, description="Only the deliveries before this one's id.")
    limit: int = Field(50, ge=1, description="How many at most.")


class WebhookShown(BaseModel):
    """An endpoint."""

    name: str = Field(json_schema_extra={"pattern": NAME_PATTERN})
    url: str
    filter: dict[str, JsonValue]
    batch_max: int
    state: WebhookState = Field(description="`failing` is a pause that too many failures made.")
    explanation: str = Field(description="In words: what it does, why it does not, and what is to be done.")
    position: int = Field(description="Up to here it has got what it wants.")
    lag: int = Field(description="How many positions of the log, wanted or not, lie before it.")
    failures: int = Field(description="How many tries of the next delivery have failed.")
    failing_since: datetime | None
    last_error: str
    next_try_at: datetime | None
    delivered_at: datetime | None
    created_at: datetime
    updated_at: datetime


class WebhookSet(WebhookShown):
    """An endpoint that was set, with the secret that was made for it."""

    secret: str | None = Field(None, description="Shown this once.")


class WebhookList(BaseModel):
    """A page of the endpoints, by name."""

    webhooks: list[WebhookShown]
    next_after: str | None


class DeliveryShown(BaseModel):
    """One try, or one that is queued."""

    id: int
    kind: str = Field(description="`event`, `test` or `redelivery`.")
    message_id: str = Field(description="The `webhook-id`.")
    first_position: int | None = Field(ge=0, le=POSITION_MAX)
    last_position: int | None
    events: int
    outcome: Outcome
    attempt: int
    status: int | None = Field(description="What the receiver answered; null where it did not.")
    error: str
    response: str = Field(description="The begin of the answer's body.")
    duration_ms: int | None
    actor: str
    reason: str
    recorded_at: datetime


class DeliveryList(BaseModel):
    """A page of the log of an endpoint, newest first."""

    deliveries: list[DeliveryShown]
    next_before: int | None


class WebhookChangeShown(BaseModel):
    """One change of an endpoint."""

    id: int
    change: str
    definition: dict[str, JsonValue]
    actor: str
    reason: str
    recorded_at: datetime


class WebhookChanges(BaseModel):
    """A page of the changes of an endpoint, newest first."""

    changes: list[WebhookChangeShown]
    next_before: int | None
