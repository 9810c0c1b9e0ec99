"""Webhooks as the API and the command line show them, and definitions from what they are given."""

from collections.abc import Mapping, Sequence

import orjson

from api.json_response import timestamp
from api.webhook_schemas import WebhookBody
from ledger.errors import InvalidValueError
from ledger.webhooks.commands import Kept
from ledger.webhooks.endpoint import (
    Webhook,
    WebhookDefinition,
    WebhookStart,
    WebhookState,
    filter_as_dict,
    filter_of,
)
from ledger.webhooks.rows import Delivery, WebhookChange


def definition_of(given: WebhookBody) -> WebhookDefinition:
    """Return the definition that a body asks for."""
    return WebhookDefinition(url=given.url, wanted=filter_of(given.filter.model_dump()), batch_max=given.batch_max)


def start_of(given: WebhookBody) -> WebhookStart | int:
    """Return where a body asks to start.

    Raises:
        InvalidValueError: nowhere that there is.
    """
    if isinstance(given.start, int):
        return given.start
    try:
        return WebhookStart(given.start)
    except ValueError as error:
        raise InvalidValueError(field="start", bound="now, beginning or a position", value=given.start) from error


def webhook_body(webhook: Webhook, *, horizon: int) -> dict[str, object]:
    """Return an endpoint as it stands in an answer."""
    lag = max(0, horizon - webhook.position)
    return {
        "name": webhook.name,
        "url": webhook.definition.url,
        "filter": filter_as_dict(webhook.definition.wanted),
        "batch_max": webhook.definition.batch_max,
        "state": webhook.state,
        "explanation": explanation_of(webhook, lag=lag),
        "position": webhook.position,
        "lag": lag,
        "failures": webhook.failures,
        "failing_since": webhook.failing_since,
        "last_error": webhook.last_error,
        "next_try_at": webhook.next_try_at if webhook.state is WebhookState.ACTIVE else None,
        "delivered_at": webhook.delivered_at,
        "created_at": webhook.created_at,
        "updated_at": webhook.updated_at,
    }


def kept_body(kept: Kept, *, horizon: int) -> dict[str, object]:
    """Return an endpoint that was set, with its secret where that was made just now."""
    return {**webhook_body(kept.webhook, horizon=horizon), "secret": kept.secret}


def explanation_of(webhook: Webhook, *, lag: int) -> str:
    """Return in words what an endpoint does, why it does not, and what is to be done about it."""
    kept = f"Nothing is lost: it stands at position {webhook.position}, and `resume` goes on from there"
    match webhook.state:
        case WebhookState.FAILING:
            since = "" if webhook.failing_since is None else f" since {timestamp(webhook.failing_since)}"
            return (
                f"It has failed{since}: {webhook.state_reason}. {kept}; "
                f"`skip` leaves out the event that it stumbles over ({webhook.last_error})."
            )
        case WebhookState.PAUSED:
            why = f": {webhook.state_reason}" if webhook.state_reason else ""
            return f"It is paused{why}. {kept}."
        case WebhookState.ACTIVE:
            return _explained_active(webhook, lag)


def listing_page(found: Sequence[Webhook], *, limit: int, horizon: int) -> Mapping[str, object]:
    """Return a page of endpoints of which one more than the limit was looked for."""
    page = found[:limit]
    next_after = page[-1].name if len(found) > len(page) else None
    return {"webhooks": [webhook_body(one, horizon=horizon) for one in page], "next_after": next_after}


def deliveries_page(found: Sequence[Delivery], *, limit: int) -> Mapping[str, object]:
    """Return a page of the log of which one more than the limit was looked for."""
    page = found[:limit]
    return {"deliveries": page, "next_before": page[-1].id if len(found) > len(page) else None}


def changes_page(found: Sequence[WebhookChange], *, limit: int) -> Mapping[str, object]:
    """Return a page of changes of which one more than the limit was looked for."""
    page = found[:limit]
    next_before = page[-1].id if len(found) > len(page) else None
    return {"changes": [_change_body(change) for change in page], "next_before": next_before}


def _explained_active(webhook: Webhook, lag: int) -> str:
    if webhook.failures:
        when = "" if webhook.next_try_at is None else f" at {timestamp(webhook.next_try_at)}"
        tries = "try" if webhook.failures == 1 else "tries"
        failed = f"{webhook.failures} {tries} of the next delivery failed ({webhook.last_error})"
        return f"{failed}; it is tried again{when}."
    return "It has got all that it wants." if lag == 0 else f"It is being sent what it wants of {lag} positions."


def _change_body(change: WebhookChange) -> Mapping[str, object]:
    return {
        "id": change.id,
        "change": change.change,
        "definition": orjson.Fragment(change.definition),
        "actor": change.actor,
        "reason": change.reason,
        "recorded_at": change.recorded_at,
    }
