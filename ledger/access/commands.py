"""What an administrator does with keys: each act is noted with who did it and why."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg

from ledger.access.api_key import ApiKey, Scope, check_key_name, check_rate, digest_of, new_token
from ledger.errors import ApiKeyNotFoundError, ApiKeyStateError, InvalidValueError
from ledger.queries import query
from ledger.specification import check_range
from ledger.store.connection import Database

OVERLAP_SECONDS_MAX = 30 * 86_400.0


async def create_key(database: Database, key: ApiKey, *, actor: str, reason: str = "") -> str:
    """Make a key of this name, scopes, rate and end, and return what its holder presents, this once.

    Raises:
        InvalidValueError: a value is out of its bound.
        ApiKeyStateError: there is, or was, a key of this name.
        StoreUnavailableError: the database is out of reach.
    """
    check_key_name(key.name)
    check_rate(key.rate_max)
    if not key.scopes:
        raise InvalidValueError(field="scope", bound=f"at least one of {', '.join(Scope)}", value="none")
    token = new_token()
    async with database.connection() as connection, connection.transaction():
        made = await connection.fetchval(
            query("create_api_key"), key.name, digest_of(token), sorted(key.scopes), key.rate_max, key.expires_at
        )
        if made is None:
            raise ApiKeyStateError(name=key.name, act="create", reason="there is, or was, one of this name")
        await _note(connection, key.name, "created", sorted(key.scopes), actor=actor, reason=reason)
    return token


async def rotate_key(
    database: Database, name: str, *, overlap_seconds: float, actor: str, reason: str = ""
) -> str:
    """Give a key a new secret and return it; the old one is good for `overlap_seconds` more.

    Raises:
        InvalidValueError: the overlap is out of its bound.
        ApiKeyNotFoundError: there is no such key.
        ApiKeyStateError: it is revoked.
        StoreUnavailableError: the database is out of reach.
    """
    check_range("overlap_seconds", overlap_seconds, 0, OVERLAP_SECONDS_MAX)
    token = new_token()
    async with database.connection() as connection, connection.transaction():
        overlap = timedelta(seconds=overlap_seconds)
        scopes = await connection.fetchval(query("rotate_api_key"), name, digest_of(token), overlap)
        if scopes is None:
            await _refuse(connection, name, act="rotate")
        await _note(connection, name, "rotated", scopes, actor=actor, reason=reason)
    return token


async def revoke_key(database: Database, name: str, *, actor: str, reason: str = "") -> None:
    """Let nobody in with a key any more; API processes know within a second.

    Raises:
        ApiKeyNotFoundError: there is no such key.
        ApiKeyStateError: it is revoked already.
        StoreUnavailableError: the database is out of reach.
    """
    async with database.connection() as connection, connection.transaction():
        scopes = await connection.fetchval(query("revoke_api_key"), name)
        if scopes is None:
            await _refuse(connection, name, act="revoke")
        await _note(connection, name, "revoked", scopes, actor=actor, reason=reason)


async def list_keys(database: Database) -> list[ApiKey]:
    """Return every key, also the revoked ones, by name."""
    async with database.connection() as connection:
        return [key_of(row) for row in await connection.fetch(query("api_keys"))]


def key_of(row: asyncpg.Record) -> ApiKey:
    """Return the key that a row of ledger.api_keys holds."""
    return ApiKey(
        name=row["name"],
        scopes=frozenset(Scope(word) for word in row["scopes"]),
        rate_max=row["rate_max"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        previous_until=row["previous_until"],
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
    )


def check_expiry(expires_at: datetime | None, *, now: datetime) -> None:
    """Raise InvalidValueError where a key would be over before it begins."""
    if expires_at is not None and expires_at <= now:
        raise InvalidValueError(field="expires_at", bound="in the future", value=expires_at.isoformat())


async def _refuse(connection: asyncpg.Connection, name: str, *, act: str) -> None:
    if await connection.fetchrow(query("api_key_exists"), name) is None:
        raise ApiKeyNotFoundError(name)
    raise ApiKeyStateError(name=name, act=act, reason="it is revoked")


async def _note(
    connection: asyncpg.Connection, name: str, change: str, scopes: Sequence[str], *, actor: str, reason: str
) -> None:
    await connection.execute(query("note_api_key_change"), name, change, scopes, actor, reason)
