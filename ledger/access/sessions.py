"""The sessions of the dashboard: a random cookie stands for the key that the session was opened with."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from hashlib import sha256
from secrets import token_urlsafe

from ledger.access.api_key import ApiKey, digest_of
from ledger.access.keyring import Keyring
from ledger.queries import query
from ledger.store.connection import Database

_SECRET_BYTES = 32
_FORGET_MAX = 100


class Sessions:
    """Opens, finds and closes sessions; their digests are kept in the database, for every API process."""

    def __init__(self, database: Database, keyring: Keyring, *, hours: float) -> None:
        self._database = database
        self._keyring = keyring
        self._lasts = timedelta(hours=hours)

    @property
    def seconds(self) -> int:
        """How long a session lasts."""
        return int(self._lasts.total_seconds())

    async def open(self, key: ApiKey) -> str:
        """Open a session for the holder of a key, and return what the cookie holds.

        Raises:
            StoreUnavailableError: the database is out of reach.
        """
        token = token_urlsafe(_SECRET_BYTES)
        async with self._database.connection() as connection:
            await connection.execute(query("forget_sessions"), _FORGET_MAX)
            await connection.execute(query("open_session"), digest_of(token), key.name, self._lasts)
        return token

    async def find(self, token: str) -> ApiKey | None:
        """Return the key that a session stands for, while both are good; raises what `open` raises."""
        return (await self.found([token])).get(token)

    async def found(self, tokens: Collection[str]) -> Mapping[str, ApiKey]:
        """Return the keys that sessions stand for, while both are good; raises what `open` raises."""
        if not tokens:
            return {}
        asked = {digest_of(token): token for token in tokens}
        async with self._database.connection() as connection:
            rows = await connection.fetch(query("session_keys"), list(asked))
        keys = {asked[row["digest"]]: await self._keyring.named(row["key_name"]) for row in rows}
        return {token: key for token, key in keys.items() if key is not None}

    async def close(self, token: str) -> None:
        """End a session; raises what `open` raises."""
        async with self._database.connection() as connection:
            await connection.execute(query("close_session"), digest_of(token))


def form_token_of(session_token: str) -> str:
    """Return what a page of the session sends with each change: a foreign page cannot know it."""
    return sha256(b"form\0" + session_token.encode("utf-8", "surrogatepass")).hexdigest()
