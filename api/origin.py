"""Who a command comes from: over HTTP the actor, the correlation id and the trace context of its headers."""

import getpass
import re

from starlette.types import Scope

from api.caller import caller_of
from api.errors import InvalidRequestError, Part
from ledger.errors import InvalidValueError
from ledger.store.records import Origin

ACTOR = "client"
CORRELATION_ID_PATTERN = r"^[\x21-\x7e]{1,200}$"

_CORRELATION_ID = re.compile(CORRELATION_ID_PATTERN.encode())
# https://www.w3.org/TR/trace-context/#traceparent-header: version 00; all-zero ids are invalid.
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_ANONYMOUS = Origin(actor=ACTOR)


def origin_of(scope: Scope) -> Origin:
    """Return the origin that a request tells of; an invalid traceparent is ignored, as W3C says.

    The actor is who the guard let in, and `client` where nobody has to say who they are.

    Raises:
        InvalidRequestError: X-Correlation-Id is out of its bound.
    """
    correlation_id = traceparent = None
    for name, value in scope["headers"]:
        if name == b"x-correlation-id":
            correlation_id = _correlation_id(value)
        elif name == b"traceparent" and _TRACEPARENT.fullmatch(value):
            traceparent = value.decode("ascii")
    caller = caller_of(scope)
    if caller is None and correlation_id is None and traceparent is None:
        return _ANONYMOUS
    actor = ACTOR if caller is None else caller.actor
    return Origin(actor=actor, correlation_id=correlation_id, traceparent=traceparent)


def traceparent_of(scope: Scope) -> str | None:
    """Return the W3C trace context of a request; an invalid one is ignored, as W3C says."""
    found = (value for name, value in scope["headers"] if name == b"traceparent" and _TRACEPARENT.fullmatch(value))
    return next((value.decode("ascii") for value in found), None)


def terminal_actor() -> str:
    """Return the actor of a command on a terminal: `cli:` and the user's name."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # a container without a name for its user
        return "cli"


def _correlation_id(value: bytes) -> str:
    if not _CORRELATION_ID.fullmatch(value):
        refusal = InvalidValueError(
            field="X-Correlation-Id",
            bound="1 to 200 visible ASCII characters without spaces",
            value=value.decode("latin-1"),
        )
        raise InvalidRequestError(Part.HEADER, str(refusal))
    return value.decode("ascii")
