"""An endpoint under a lock, and the record of what is changed about it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from ledger.jsonvalue import storable_text
from ledger.queries import query
from ledger.store.connection import Database
from ledger.store.records import Origin
from ledger.webhooks.endpoint import Webhook, is_name
from ledger.webhooks.errors import WebhookNotFoundError
from ledger.webhooks.rows import definition_text, webhook_of

REASON_CHARS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Locked:
    """An endpoint in a transaction that keeps every other change away; None where there is none."""

    connection: asyncpg.Connection
    name: str
    webhook: Webhook | None

    @property
    def known(self) -> Webhook:
        """The endpoint; raises WebhookNotFoundError where there is none."""
        if self.webhook is None:
            raise WebhookNotFoundError(self.name)
        return self.webhook


@asynccontextmanager
async def locked_webhook(database: Database, name: str) -> AsyncIterator[Locked]:
    """Lock an endpoint, or its name, for a change; raises WebhookNotFoundError where none can have the name."""
    check_known(name)
    async with database.connection() as connection, connection.transaction():
        await connection.execute(query("lock_webhook_name"), name)
        row = await connection.fetchrow(query("find_webhook"), name)
        yield Locked(connection, name, None if row is None else webhook_of(row))


def check_known(name: str) -> None:
    """Raise WebhookNotFoundError for a name that no endpoint can have."""
    if not is_name(name):
        raise WebhookNotFoundError(name)


async def changed_webhook(locked: Locked, change: str, reason: str, origin: Origin) -> Webhook:
    """Record a change that was made; return the endpoint as it is now."""
    (row,) = await locked.connection.fetch(query("find_webhook"), locked.name)
    webhook = webhook_of(row)
    await record_change(locked, change, webhook, reason, origin)
    return webhook


async def record_change(locked: Locked, change: str, webhook: Webhook, reason: str, origin: Origin) -> None:
    """Keep who changed what and why."""
    told = storable_text(reason, chars_max=REASON_CHARS_MAX)
    await locked.connection.execute(
        query("insert_webhook_change"),
        locked.name,
        change,
        definition_text(webhook.definition),
        origin.actor,
        told,
    )
