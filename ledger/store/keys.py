"""The keys of an append that is to happen once: a client's idempotency key, and the unique key of a task."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

import orjson

from ledger.errors import InvalidValueError
from ledger.store.records import PayloadKey, RecordedEvent

IDEMPOTENCY_KEY_PATTERN = r"^[\x21-\x7e]{1,255}$"

_BEGINS = frozenset({"task.submitted", "task.retried"})
_ENDS = frozenset({"task.completed", "task.failed", "task.cancelled"})
_IDEMPOTENCY_KEY = re.compile(IDEMPOTENCY_KEY_PATTERN)


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's own name for one request.

    Attributes:
        key: 1 to 255 visible ASCII characters.
        digest: of the request, so that another one under the same key is noticed.
        scope: whose key it is; "" is everybody's.
    """

    key: str
    digest: bytes
    scope: str = ""

    def __post_init__(self) -> None:
        check_idempotency_key(self.key)

    @classmethod
    def of(cls, key: str, *, path: str, body: bytes, scope: str = "") -> Self:
        """Return the key of a request, with the SHA-256 of its path and its raw body.

        Raises:
            InvalidValueError: the key is out of its bound.
        """
        return cls(key, sha256(path.encode() + b"\0" + body).digest(), scope)


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """What no two unfinished tasks of a kind have in common."""

    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class Once:
    """What an append is to happen once by; and the payload key that is kept if it happens."""

    idempotency_key: IdempotencyKey | None = None
    unique_key: UniqueKey | None = None
    payload_key: PayloadKey | None = None


def check_idempotency_key(key: str) -> None:
    """Raise InvalidValueError where a key is out of its bound."""
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidValueError(
            field="Idempotency-Key", bound="1 to 255 visible ASCII characters without spaces", value=key
        )


def is_unfinished(stream: Sequence[RecordedEvent]) -> bool:
    """Return whether a task is to go on, as its last event that begins or ends something says.

    The database says the same by `ledger.is_unfinished`.
    """
    last = next((row for row in reversed(stream) if row.type in _BEGINS | _ENDS), None)
    if last is None:
        return False
    return last.type in _BEGINS or (
        last.type == "task.failed" and orjson.loads(last.data).get("retry_at") is not None
    )
