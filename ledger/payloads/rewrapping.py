"""The rewrapping: every task's key under the newest secret, so that an old one can be destroyed.

The keys themselves stay, and so does every ciphertext. Who holds an old dump of the database then needs a secret
that is no more.
"""

from uuid import UUID

import asyncpg

from ledger.bootstrap import Ledger
from ledger.errors import ConfigurationError
from ledger.payloads.wrapping import PayloadSecrets, WrappedKey
from ledger.queries import query

_PAGE = 500
_FIRST = UUID(int=0)


async def rewrap(ledger: Ledger) -> int:
    """Wrap every key anew that is not under the newest secret; return how many. Repeating it does no harm.

    Raises:
        ConfigurationError: there is no secret.
        PayloadKeyMissingError: a key needs a secret that the settings lack; those before it are done.
    """
    secrets = PayloadSecrets(ledger.settings.payload_secrets)
    newest = secrets.newest_id
    if newest is None:
        raise ConfigurationError("LEDGER_PAYLOAD_SECRET must be set: the newest secret first, then the old ones")
    done, after = 0, _FIRST
    while True:
        async with ledger.database.connection() as connection:
            rows = await connection.fetch(query("keys_of_other_secrets"), newest, after, _PAGE)
            async with connection.transaction():
                done += sum([await _rewrap_one(connection, secrets, row) for row in rows])
        if len(rows) < _PAGE:
            return done
        after = rows[-1]["task_id"]


async def _rewrap_one(connection: asyncpg.Connection, secrets: PayloadSecrets, row: asyncpg.Record) -> bool:
    task_id: UUID = row["task_id"]
    key = secrets.unwrap(task_id, WrappedKey(row["wrapped_key"], row["secret_id"]))
    fresh = secrets.wrap(task_id, key)
    name = query("rewrap_payload_key")
    found = await connection.fetchval(name, task_id, row["wrapped_key"], fresh.wrapped, fresh.secret_id)
    return found is not None
