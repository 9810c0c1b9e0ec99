"""The vault: makes the keys of erasable tasks, and finds them as long as they exist.

Nothing is kept in memory between two questions: whoever reads asks for the keys with every page, so that an erased
key is forgotten with the answer that is being written. Only a running attempt holds its own task's key,
and what runs cannot be erased.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

import asyncpg
import structlog

from ledger.errors import ConfigurationError, InvalidValueError, PayloadKeyMissingError, StoreRefusedError
from ledger.payloads.cipher import KEY_BYTES, Cipher
from ledger.payloads.wrapping import PayloadSecrets, WrappedKey
from ledger.queries import query
from ledger.settings import Settings
from ledger.store.connection import Database
from ledger.store.records import PayloadKey

log = structlog.get_logger()

_INSUFFICIENT_PRIVILEGE = "42501"


class Gone(Enum):
    """Why there is no cipher: the task's key was destroyed, or this process cannot have it."""

    ERASED = "erased"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: what seals the first event, and what is kept beside it."""

    cipher: Cipher
    kept: PayloadKey


class PayloadVault:
    """The keys of the erasable tasks.

    Args:
        database: where they stand; without one there are none.
        erases_all: whether every task is erasable, or those that say so.
    """

    def __init__(self, database: Database | None, secrets: PayloadSecrets, *, erases_all: bool = False) -> None:
        self._database = database
        self._secrets = secrets
        self._erases_all = erases_all

    def is_erasable(self, *, asked: bool) -> bool:
        """Say whether a task is to be erasable that asks for it, or does not."""
        return asked or self._erases_all

    def new_key(self, task_id: UUID, tags: Iterable[str]) -> NewKey:
        """Make the key of a new task; nothing is recorded.

        Raises:
            InvalidValueError: there is no secret to wrap it with.
        """
        if self._secrets.newest_id is None:
            bound = "false while LEDGER_PAYLOAD_SECRET is not set"
            raise InvalidValueError(field="erasable", bound=bound, value=True)
        key = os.urandom(KEY_BYTES)
        wrapped = self._secrets.wrap(task_id, key)
        kept = PayloadKey(wrapped.wrapped, wrapped.secret_id, tuple(tags))
        return NewKey(Cipher(task_id, key), kept)

    async def cipher_of(self, task_id: UUID) -> Cipher:
        """Return the cipher of an erasable task.

        Raises:
            PayloadKeyMissingError: its key was destroyed, or this process cannot have it.
            StoreUnavailableError: the database is out of reach.
        """
        key = await self.key_of(task_id)
        return Cipher(task_id, key)

    async def key_of(self, task_id: UUID) -> bytes:
        """Return the key of an erasable task; raises what `cipher_of` raises."""
        row = (await self._rows([task_id])).get(task_id)
        if row is None:
            raise PayloadKeyMissingError(task_id=task_id, reason="no key of it can be found")
        if row["is_erased"]:
            raise PayloadKeyMissingError(task_id=task_id, reason="its payload was erased")
        return self._secrets.unwrap(task_id, WrappedKey(row["wrapped_key"], row["secret_id"]))

    async def found(self, task_ids: Iterable[UUID]) -> Mapping[UUID, Cipher | Gone]:
        """Return the cipher of each erasable task among these, or why there is none; others have no entry."""
        return {task_id: self._cipher(task_id, row) for task_id, row in (await self._rows(task_ids)).items()}

    def _cipher(self, task_id: UUID, row: asyncpg.Record) -> Cipher | Gone:
        if row["is_erased"]:
            return Gone.ERASED
        try:
            return Cipher(task_id, self._secrets.unwrap(task_id, WrappedKey(row["wrapped_key"], row["secret_id"])))
        except PayloadKeyMissingError as error:
            log.debug("payload.locked", task_id=str(task_id), reason=error.reason)
            return Gone.LOCKED

    async def _rows(self, task_ids: Iterable[UUID]) -> Mapping[UUID, asyncpg.Record]:
        asked = list(set(task_ids))
        if self._database is None or not asked:
            return {}
        try:
            async with self._database.connection() as connection:
                rows = await connection.fetch(query("find_payload_keys"), asked)
        except StoreRefusedError as error:
            if getattr(error.__cause__, "sqlstate", None) != _INSUFFICIENT_PRIVILEGE:
                raise
            return {}  # an auditor reads the ledger, and no payload that can be erased
        return {row["task_id"]: row for row in rows}


def open_vault(database: Database, settings: Settings) -> PayloadVault:
    """Return the vault in a database, with the secrets of the settings.

    Raises:
        ConfigurationError: every task is to be erasable, and there is no secret.
    """
    erases_all = settings.erasable == "all"
    if erases_all and not settings.payload_secrets:
        raise ConfigurationError("LEDGER_PAYLOAD_SECRET must be set while LEDGER_ERASABLE is all")
    return PayloadVault(database, PayloadSecrets(settings.payload_secrets), erases_all=erases_all)


def no_vault() -> PayloadVault:
    """Return a vault without any key."""
    return PayloadVault(None, PayloadSecrets(()))
