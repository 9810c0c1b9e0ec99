"""Webhooks: who is told of events, what was delivered, and what is done about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

from api.sdk.calls import Call, Cursor, Page, act, look, page_reader, reader, removal
from api.sdk.changes import Change, changes_of
from api.sdk.operations import Asked, Blocking, Listed, Looping


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An endpoint that gets events.

    Attributes:
        state: active, paused or failing; `explanation` says it in words.
        position: up to where it has got all that it wants; `lag` is how far that is behind.
        secret: what deliveries are signed with, only in the answer to the call that made it.
    """

    name: str
    url: str
    state: str
    position: int
    filter: Mapping[str, Any] = field(default_factory=dict)
    batch_max: int = 1
    explanation: str = ""
    lag: int = 0
    failures: int = 0
    failing_since: datetime | None = None
    last_error: str = ""
    next_try_at: datetime | None = None
    delivered_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One attempt to deliver; `outcome` is queued, delivered, failed or skipped."""

    id: int
    kind: str
    message_id: str
    outcome: str
    attempt: int
    recorded_at: datetime
    first_position: int | None = None
    last_position: int | None = None
    events: int = 0
    status: int | None = None
    error: str = ""
    response: str = field(default="", repr=False)
    duration_ms: int | None = None
    actor: str = ""
    reason: str = ""


class WebhookFilter(TypedDict, total=False):
    """Which events an endpoint wants; what is absent is no filter."""

    types: Sequence[str]
    kind: str
    queue: str
    actor: str
    correlation_id: str


class WebhookOptions(TypedDict, total=False):
    """What is set of an endpoint.

    Attributes:
        filter: which events it wants.
        batch_max: 1 sends each event by itself; more sends up to so many in a JSON array.
        start: where a new one starts: `now`, `beginning`, or after a position.
        secret: of a new one; the server makes one when absent.
    """

    filter: WebhookFilter
    batch_max: int
    start: int | Literal["now", "beginning"]
    secret: str
    reason: str


class WebhookOperations:
    """Who is told of events. Pausing and resuming twice changes nothing."""

    @Listed
    def list(self, after: Cursor) -> Call[Page[Webhook]]:
        """Yield all endpoints, by name, a page at a time."""
        return look(page_reader(Webhook, "webhooks", "next_after"), "webhooks", query={"after": after})

    @Asked
    def get(self, name: str) -> Call[Webhook]:
        """Return an endpoint; raises NotFoundError."""
        return look(_WEBHOOK, "webhooks", name)

    @Asked
    def set(self, name: str, url: str, **options: Unpack[WebhookOptions]) -> Call[Webhook]:
        """Make an endpoint, or change it to this; `secret` is in the answer where the server has made one.

        With a secret of your own it is sent again where no answer came; without one it is not, because a secret
        that got lost on the way is not told twice: `rotate` makes another.
        """
        body = {"url": url, **options}
        return act(
            _WEBHOOK, "webhooks", name, body=body, method="PUT", is_repeatable=options.get("secret") is not None
        )

    @Asked
    def remove(self, name: str, *, reason: str = "") -> Call[None]:
        """Remove an endpoint, its secret and its log."""
        return removal("webhooks", name, reason=reason)

    @Asked
    def pause(self, name: str, *, reason: str = "") -> Call[Webhook]:
        """Deliver nothing to an endpoint until it is resumed; nothing is lost."""
        return act(_WEBHOOK, "webhooks", name, "pause", body={"reason": reason}, is_repeatable=True)

    @Asked
    def resume(self, name: str, *, reason: str = "") -> Call[Webhook]:
        """Go on with an endpoint that is paused or failing, from where it stands."""
        return act(_WEBHOOK, "webhooks", name, "resume", body={"reason": reason}, is_repeatable=True)

    @Asked
    def rotate(
        self, name: str, *, secret: str | None = None, overlap_s: float | None = None, reason: str = ""
    ) -> Call[Webhook]:
        """Give an endpoint a new secret, which is in the answer; the one before signs as well for `overlap_s`."""
        body = {"secret": secret, "overlap_s": overlap_s, "reason": reason}
        return act(_WEBHOOK, "webhooks", name, "rotate", body=body)

    @Asked
    def skip(self, name: str, event_id: str, *, reason: str) -> Call[Webhook]:
        """Leave out the event that is next; raises ConflictError where another one is."""
        return act(_WEBHOOK, "webhooks", name, "skip", body={"event_id": event_id, "reason": reason})

    @Asked
    def test(self, name: str) -> Call[Delivery]:
        """Send a ping, beside the order of the events."""
        return act(_DELIVERY, "webhooks", name, "test")

    @Listed
    def deliveries(self, before: Cursor, name: str, *, outcome: str | None = None) -> Call[Page[Delivery]]:
        """Yield what was delivered, or was not, newest first."""
        read = page_reader(Delivery, "deliveries", "next_before")
        return look(read, "webhooks", name, "deliveries", query={"outcome": outcome, "before": before})

    @Asked
    def redeliver(self, name: str, delivery_id: int) -> Call[Delivery]:
        """Send once more what a delivery sent, beside the order of the events."""
        return act(_DELIVERY, "webhooks", name, "deliveries", delivery_id, "redeliver")

    @Listed
    def changes(self, before: Cursor, name: str) -> Call[Page[Change]]:
        """Yield what was set for an endpoint, newest first; also of one that was removed."""
        return changes_of("webhooks", name, before=before)


class Webhooks(WebhookOperations, Blocking):
    """The webhooks; as `TaskLedger.webhooks`."""


class AsyncWebhooks(WebhookOperations, Looping):
    """The webhooks; as `AsyncTaskLedger.webhooks`."""


_WEBHOOK = reader(Webhook)
_DELIVERY = reader(Delivery)
