"""The Idempotency-Key of a request: a client that got no answer asks again with the same key."""

from collections.abc import Iterable

from api.errors import InvalidRequestError, Part
from ledger.errors import InvalidValueError
from ledger.store.keys import check_idempotency_key


def idempotency_key_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the key that the headers have, None without one.

    Raises:
        InvalidRequestError: it is out of its bound, or there are two.
    """
    key = None
    for name, value in headers:
        if name == b"idempotency-key":
            if key is not None:
                raise InvalidRequestError(Part.HEADER, "Idempotency-Key must be given once, got another one")
            key = _checked(value)
    return key


def _checked(value: bytes) -> str:
    key = value.decode("latin-1")
    try:
        check_idempotency_key(key)
    except InvalidValueError as refusal:
        raise InvalidRequestError(Part.HEADER, str(refusal)) from refusal
    return key
