"""An endpoint: who gets which events, where it stands, and the bounds of what may be set."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ledger.codec import EVENT_TYPES
from ledger.errors import InvalidValueError
from ledger.history.search import EventFilter
from ledger.jsonvalue import check_json
from ledger.specification import KIND_PATTERN, check_queue_name, check_range
from ledger.webhooks.address import check_public
from ledger.webhooks.errors import WebhookAddressError

NAME_PATTERN = r"^[a-z0-9_-]{1,64}$"
URL_CHARS_MAX = 2000
WORD_CHARS_MAX = 200
BATCH_MAX = 100
TYPES_MAX = 50

_NAME = re.compile(NAME_PATTERN)
_KIND = re.compile(KIND_PATTERN)
_URL = re.compile(r"[\x21-\x7e]{1,2000}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Below these live mail, shells and the like, which an HTTP request could be meant to upset.
_UNPRIVILEGED_PORT = 1024
_PORT_BOUND = "80, 443 or from 1024 to 65535"


class WebhookState(StrEnum):
    """Whether events are sent: failing is a pause that nobody asked for."""

    ACTIVE = "active"
    PAUSED = "paused"
    FAILING = "failing"


class WebhookStart(StrEnum):
    """Where a new endpoint starts, unless it is at a position."""

    NOW = "now"
    BEGINNING = "beginning"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDefinition:
    """What may be set for an endpoint.

    Attributes:
        url: where the events go.
        wanted: which events; the names are those of the stream and of the audit.
        batch_max: 1 sends each event by itself; more sends up to so many in a JSON array.
    """

    url: str
    wanted: EventFilter = field(default_factory=EventFilter)
    batch_max: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An endpoint.

    Attributes:
        position: its checkpoint.
        failures: how many tries of the next delivery have failed.
        revision: changes with its definition, and is never that of an earlier one of its name.
    """

    name: str
    definition: WebhookDefinition
    state: WebhookState
    state_reason: str
    position: int
    failures: int
    failing_since: datetime | None
    last_error: str
    next_try_at: datetime | None
    delivered_at: datetime | None
    revision: int
    created_at: datetime
    updated_at: datetime


def check_name(name: str) -> None:
    """Raise InvalidValueError for a name that no endpoint can have."""
    if not is_name(name):
        raise InvalidValueError(field="name", bound="1 to 64 characters of a-z 0-9 _ -", value=name)


def is_name(name: str) -> bool:
    """Whether an endpoint can have this name."""
    return _NAME.fullmatch(name) is not None


def check_definition(definition: WebhookDefinition, *, allow_private: bool) -> None:
    """Raise InvalidValueError for the first part out of its bound; the URL is not repeated."""
    check_url(definition.url, allow_private=allow_private)
    check_range("batch_max", definition.batch_max, 1, BATCH_MAX)
    _check_filter(definition.wanted)


def check_url(url: str, *, allow_private: bool) -> None:
    """Raise InvalidValueError for a URL that nothing is sent to; names are only resolved when something is."""
    parts = _split(url)
    if not _URL.fullmatch(url) or parts is None or parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        bound = f"an http:// or https:// URL of at most {URL_CHARS_MAX} visible ASCII characters"
        raise _refused(bound, f"{len(url)} characters")
    if parts.username is not None or parts.password is not None:
        raise _refused("without credentials (the signature is what proves the sender)", "a URL with some")
    if parts.fragment:
        raise _refused("without a fragment", "a URL with one")
    port = port_of(parts)
    if port not in _DEFAULT_PORTS.values() and port < _UNPRIVILEGED_PORT:
        raise _refused(f"at port {_PORT_BOUND}", port)
    try:
        literal = ipaddress.ip_address(parts.hostname)
    except ValueError:
        return
    try:
        check_public(literal, allow_private=allow_private)
    except WebhookAddressError as error:
        raise _refused("at a public address (LEDGER_WEBHOOK_ALLOW_PRIVATE)", parts.hostname) from error


def port_of(parts: SplitResult) -> int:
    """Return the port of a URL that was checked."""
    return _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port


def filter_as_dict(wanted: EventFilter) -> dict[str, Any]:
    """Return a filter by the names of the API, without what stands for all."""
    words = {
        "types": None if wanted.types is None else list(wanted.types),
        "kind": wanted.kind,
        "queue": wanted.queue,
        "actor": wanted.actor,
        "correlation_id": wanted.correlation_id,
    }
    return {name: word for name, word in words.items() if word is not None}


def filter_of(words: Mapping[str, Any]) -> EventFilter:
    """Return the filter of these names."""
    return EventFilter(**words)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return None if port == 0 else parts


def _refused(bound: str, value: object) -> InvalidValueError:
    # Tokens may stand in a URL, so that the sentence does not repeat it.
    return InvalidValueError(field="url", bound=bound, value=value)


def _check_filter(wanted: EventFilter) -> None:
    _check_types(wanted.types)
    if wanted.kind is not None and not _KIND.fullmatch(wanted.kind):
        raise InvalidValueError(
            field="kind", bound="1 to 200 characters of A-Z a-z 0-9 _ . : / -", value=wanted.kind
        )
    if wanted.queue is not None:
        check_queue_name(wanted.queue)
    for name, word in (("actor", wanted.actor), ("correlation_id", wanted.correlation_id)):
        if word is not None and not 1 <= len(word) <= WORD_CHARS_MAX:
            raise InvalidValueError(field=name, bound=f"1 to {WORD_CHARS_MAX} characters", value=word)
        check_json(word, field=name)


def _check_types(types: Sequence[str] | None) -> None:
    if types is None:
        return
    if not 1 <= len(types) <= TYPES_MAX:
        raise InvalidValueError(field="types", bound=f"1 to {TYPES_MAX} types", value=len(types))
    for one in types:
        if one not in EVENT_TYPES:  # a typing error would never send anything, and nobody would see why
            raise InvalidValueError(field="types", bound=f"of {', '.join(EVENT_TYPES)}", value=one)
