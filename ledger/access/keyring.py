"""The keys as one API process knows them: read again when they are older than a second.

So a key that was revoked is good for a second at most. While the database is away the keys that were read last are
believed for a minute: reads that need no database, such as the readiness, go on.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from ledger.access.api_key import ApiKey, digest_of
from ledger.access.commands import key_of
from ledger.errors import StoreUnavailableError, StoreUnwritableError
from ledger.queries import query
from ledger.store.connection import Database

log = structlog.get_logger()

AGE_SECONDS_MAX = 1.0
_BELIEVED_SECONDS_MAX = 60.0
_NOTE_EVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _View:
    """All keys at one moment: by digest those of now, and those that a rotation has left good for a while."""

    by_name: Mapping[str, ApiKey] = field(default_factory=dict)
    by_digest: Mapping[bytes, ApiKey] = field(default_factory=dict)
    by_previous: Mapping[bytes, ApiKey] = field(default_factory=dict)
    read_at: float = float("-inf")


class Keyring:
    """Finds the key that somebody presents."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._view = _View()
        self._turn = asyncio.Lock()
        self._used: set[str] = set()
        self._noted_at = time.monotonic()

    async def is_empty(self) -> bool:
        """Say whether there was never a key; one that is revoked counts.

        Raises:
            StoreUnavailableError: the database is out of reach.
        """
        return not (await self._fresh()).by_name

    async def find(self, token: str) -> ApiKey | None:
        """Return the key that is presented, where it is good; raises what `is_empty` raises."""
        view = await self._fresh()
        digest, now = digest_of(token), datetime.now(UTC)
        key = view.by_digest.get(digest)
        if key is None:
            key = view.by_previous.get(digest)
            if key is None or key.previous_until is None or now >= key.previous_until:
                return None
        return self._good(key, now)

    async def named(self, name: str) -> ApiKey | None:
        """Return the key of this name, where it is good; raises what `is_empty` raises."""
        key = (await self._fresh()).by_name.get(name)
        return None if key is None else self._good(key, datetime.now(UTC))

    def _good(self, key: ApiKey, now: datetime) -> ApiKey | None:
        if not key.is_good(now):
            return None
        self._used.add(key.name)
        return key

    async def _fresh(self) -> _View:
        if not self._is_older_than(AGE_SECONDS_MAX):
            return self._view
        async with self._turn:
            if self._is_older_than(AGE_SECONDS_MAX):
                await self._renew()
        return self._view

    def _is_older_than(self, seconds: float) -> bool:
        return time.monotonic() - self._view.read_at > seconds

    async def _renew(self) -> None:
        began = time.monotonic()
        try:
            async with self._database.connection() as connection:
                rows = await connection.fetch(query("api_keys"))
        except StoreUnavailableError as error:
            if self._is_older_than(_BELIEVED_SECONDS_MAX):
                raise
            log.debug("keyring.stale", reason=str(error))
            return
        keys = {row["name"]: key_of(row) for row in rows}
        self._view = _View(
            by_name=keys,
            by_digest={row["digest"]: keys[row["name"]] for row in rows},
            by_previous={row["previous_digest"]: keys[row["name"]] for row in rows if row["previous_digest"]},
            read_at=began,
        )
        await self._note_use()

    async def _note_use(self) -> None:
        if not self._used or time.monotonic() - self._noted_at < _NOTE_EVERY_SECONDS:
            return
        used, self._used = self._used, set()
        self._noted_at = time.monotonic()
        try:
            async with self._database.connection() as connection:
                await connection.execute(query("note_api_key_use"), sorted(used))
        except (StoreUnavailableError, StoreUnwritableError) as error:
            log.debug("keyring.use_not_noted", reason=str(error))
