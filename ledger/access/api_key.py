"""An API key: 256 random bits that its holder presents, of which the ledger keeps the digest only."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from secrets import token_urlsafe

from ledger.errors import InvalidValueError
from ledger.specification import check_range

RATE_MAX = 1_000_000

_PREFIX = "tl_"
_SECRET_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Scope(StrEnum):
    """What a key may be used for: to look, to submit, to act upon what is there, and for everything."""

    READ = "read"
    SUBMIT = "submit"
    OPERATE = "operate"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is known of a key.

    Attributes:
        rate_max: requests a second that one API process answers it; None is no bound.
        previous_until: until when the key before the last rotation is still good.
    """

    name: str
    scopes: frozenset[Scope]
    rate_max: int | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    previous_until: datetime | None = None
    created_at: datetime | None = None
    last_used_at: datetime | None = None

    @property
    def actor(self) -> str:
        """Who acts when it is used, as events name them."""
        return f"key:{self.name}"

    def is_good(self, now: datetime) -> bool:
        """Say whether it is neither revoked nor over."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def new_token() -> str:
    """Return a new key as its holder presents it."""
    return _PREFIX + token_urlsafe(_SECRET_BYTES)


def digest_of(token: str) -> bytes:
    """Return what the ledger keeps of a key.

    A plain SHA-256 is enough: a slow hash protects what can be guessed, and 256 random bits cannot.
    """
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def check_key_name(name: str) -> None:
    """Raise InvalidValueError where no key can have this name."""
    if not _NAME.fullmatch(name):
        raise InvalidValueError(
            field="name",
            bound="1 to 63 letters, digits, dots, dashes or underscores, a letter or digit first",
            value=name,
        )


def scopes_of(words: Iterable[str]) -> frozenset[Scope]:
    """Return the scopes that words name.

    Raises:
        InvalidValueError: a word is none, or there is no word.
    """
    known = {scope.value for scope in Scope}
    scopes = set()
    for word in words:
        if word not in known:
            raise InvalidValueError(field="scope", bound=f"one of {', '.join(Scope)}", value=word)
        scopes.add(Scope(word))
    if not scopes:
        raise InvalidValueError(field="scope", bound=f"at least one of {', '.join(Scope)}", value="none")
    return frozenset(scopes)


def check_rate(rate_max: int | None) -> None:
    """Raise InvalidValueError where a rate is out of its bound."""
    check_range("rate_max", rate_max, 1, RATE_MAX)
