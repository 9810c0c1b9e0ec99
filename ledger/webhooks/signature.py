"""The signatures of Standard Webhooks 1.0: how a delivery is signed, and how a receiver verifies one.

`webhook-signature` holds one signature a valid secret, apart by spaces, each `v1,` and the base64 of HMAC-SHA256
over `webhook-id.webhook-timestamp.body`. A secret is `whsec_` and the base64 of 24 to 64 random bytes.
"""

import base64
import binascii
import hashlib
import hmac
import secrets as random
import time
from collections.abc import Mapping, Sequence

from ledger.errors import InvalidValueError
from ledger.webhooks.errors import WebhookSignatureError

PREFIX = "whsec_"
ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"
TOLERANCE_SECONDS = 300.0

_VERSION = "v1,"
_KEY_BYTES = 32
_KEY_BYTES_MIN = 24
_KEY_BYTES_MAX = 64
_SIGNATURES_MAX = 20
_TIMESTAMP_DIGITS_MAX = 12


def generate_secret() -> str:
    """Return a new secret."""
    return PREFIX + base64.b64encode(random.token_bytes(_KEY_BYTES)).decode()


def check_secret(secret: str) -> None:
    """Raise InvalidValueError for what is no secret; its sentence does not repeat it."""
    _key_of(secret)


def sign(message_id: str, timestamp: int, body: bytes, secrets: Sequence[str]) -> str:
    """Return the value of `webhook-signature`, with one signature a secret; the timestamp is in Unix seconds."""
    return " ".join(_signature(message_id, str(timestamp), body, secret) for secret in secrets)


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> str:
    """Return the `webhook-id` of a delivery that one of the secrets has signed, in constant time.

    Args:
        headers: of the request; upper and lower case are the same.
        body: as it came, before anything parsed it.
        secrets: any of them may have signed it: two during a rotation.
        tolerance_seconds: how far its timestamp may be from now, either way; older ones may be replayed.
        now: Unix seconds; this machine's time if absent.

    Raises:
        WebhookSignatureError: it is not signed so, or too long ago.
    """
    found = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, given = (
        found.get(name, "") for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
    )
    if not message_id or not timestamp or not given:
        raise WebhookSignatureError(f"{ID_HEADER}, {TIMESTAMP_HEADER} and {SIGNATURE_HEADER} must all be there")
    if not timestamp.isascii() or not timestamp.isdecimal() or len(timestamp) > _TIMESTAMP_DIGITS_MAX:
        raise WebhookSignatureError(f"{TIMESTAMP_HEADER} must be Unix seconds")
    age_seconds = (time.time() if now is None else now) - int(timestamp)
    if abs(age_seconds) > tolerance_seconds:
        raise WebhookSignatureError(
            f"{TIMESTAMP_HEADER} must be within {tolerance_seconds:g} s of now, got {age_seconds:g} s ago"
        )
    if not _is_signed(given, [_signature(message_id, timestamp, body, secret) for secret in secrets]):
        raise WebhookSignatureError("no signature is that of a known secret")
    return message_id


def _is_signed(given: str, expected: Sequence[str]) -> bool:
    offered = [text.encode() for text in given.split(" ")[:_SIGNATURES_MAX]]
    # Every pair is compared, so that the time tells nothing of which one matched.
    matches = [hmac.compare_digest(one, other.encode()) for one in offered for other in expected]
    return any(matches)


def _signature(message_id: str, timestamp: str, body: bytes, secret: str) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(_key_of(secret), signed, hashlib.sha256).digest()
    return _VERSION + base64.b64encode(digest).decode()


def _key_of(secret: str) -> bytes:
    bound = f"{PREFIX} and the base64 of {_KEY_BYTES_MIN} to {_KEY_BYTES_MAX} bytes"
    refusal = InvalidValueError(field="secret", bound=bound, value=f"{len(secret)} characters")
    if not secret.startswith(PREFIX):
        raise refusal
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise refusal from None  # the cause would show what was given
    if not _KEY_BYTES_MIN <= len(key) <= _KEY_BYTES_MAX:
        raise refusal
    return key
