"""What the commands `taskledger keys …` do: the keys on a terminal."""

from dataclasses import dataclass
from datetime import UTC, datetime

import typer

from api.origin import terminal_actor
from api.terminal import answer_json
from ledger.access.api_key import ApiKey, scopes_of
from ledger.access.commands import check_expiry, create_key, list_keys, revoke_key, rotate_key
from ledger.bootstrap import open_ledger
from ledger.settings import load_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """What was typed of a key that is to be made; the time is in UTC."""

    name: str
    scopes: tuple[str, ...]
    rate_max: int | None = None
    expires_at: datetime | None = None


async def run_create(new: NewKey, database_url: str | None, *, reason: str, as_json: bool) -> None:
    """Make a key and print it."""
    expires_at = None if new.expires_at is None else new.expires_at.replace(tzinfo=UTC)
    check_expiry(expires_at, now=datetime.now(UTC))
    key = ApiKey(name=new.name, scopes=scopes_of(new.scopes), rate_max=new.rate_max, expires_at=expires_at)
    async with open_ledger(load_settings(database_url=database_url)) as ledger:
        token = await create_key(ledger.database, key, actor=terminal_actor(), reason=reason)
    _print_token(new.name, token, as_json=as_json)


async def run_rotate(
    name: str, database_url: str | None, *, overlap_seconds: float, reason: str, as_json: bool
) -> None:
    """Give a key a new secret and print it."""
    async with open_ledger(load_settings(database_url=database_url)) as ledger:
        token = await rotate_key(
            ledger.database, name, overlap_seconds=overlap_seconds, actor=terminal_actor(), reason=reason
        )
    _print_token(name, token, as_json=as_json)


async def run_revoke(name: str, database_url: str | None, *, reason: str, as_json: bool) -> None:
    """Revoke a key."""
    async with open_ledger(load_settings(database_url=database_url)) as ledger:
        await revoke_key(ledger.database, name, actor=terminal_actor(), reason=reason)
    if as_json:
        answer_json({"name": name, "revoked": True})
    else:
        typer.echo(f"{name} is revoked; nobody gets in with it from a second after now on")


async def run_list(database_url: str | None, *, as_json: bool) -> None:
    """Print a line for each key, or one JSON object."""
    async with open_ledger(load_settings(database_url=database_url)) as ledger:
        keys = await list_keys(ledger.database)
    if as_json:
        answer_json({"keys": [_shown(key) for key in keys]})
        return
    for key in keys:
        used = "never used" if key.last_used_at is None else f"used {key.last_used_at:%Y-%m-%d %H:%M}Z"
        typer.echo(f"{key.name:<24} {' '.join(sorted(key.scopes)):<28} {_state(key):<8} {used}")
    if not keys:
        typer.echo("there is no key: whoever reaches the API may do everything")


def _print_token(name: str, token: str, *, as_json: bool) -> None:
    if as_json:
        answer_json({"name": name, "key": token})
        return
    typer.echo(token)
    typer.echo("it is not kept and cannot be shown again", err=True)


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "good" if key.is_good(datetime.now(UTC)) else "over"


def _shown(key: ApiKey) -> dict[str, object]:
    return {
        "name": key.name,
        "scopes": sorted(key.scopes),
        "rate_max": key.rate_max,
        "state": _state(key),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "previous_until": key.previous_until,
        "last_used_at": key.last_used_at,
    }
