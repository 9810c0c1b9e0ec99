"""The database as the rest of the ledger sees it: a pool, and asyncpg's errors translated into ours."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import asyncpg

from ledger.errors import StoreRefusedError, StoreUnavailableError, StoreUnwritableError
from ledger.settings import Settings, masked_url

_UNAVAILABLE = (
    OSError,  # TimeoutError too
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, starting up, query cancelled by its timeout, and so on
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
)

_UNWRITABLE = (asyncpg.ReadOnlySQLTransactionError, asyncpg.InsufficientResourcesError)


@contextmanager
def translated() -> Iterator[None]:
    """Turn asyncpg's errors into StoreUnavailableError, StoreUnwritableError and StoreRefusedError."""
    try:
        yield
    except _UNAVAILABLE as error:
        raise StoreUnavailableError(f"the database is out of reach: {_reason(error)}") from error
    except _UNWRITABLE as error:
        raise StoreUnwritableError(f"the database takes no writes: {_reason(error)}") from error
    except asyncpg.PostgresError as error:
        raise StoreRefusedError(f"the database refused: {error}") from error


class Database:
    """A pool of connections to one database; made by `open_database`."""

    def __init__(self, *, pool: asyncpg.Pool, settings: Settings, url: str) -> None:
        self._pool = pool
        self._settings = settings
        self._url = url

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection from the pool; errors come out translated.

        Whoever borrows leaves no session state behind: the pool does not reset what it takes back.
        """
        with translated():
            async with self._pool.acquire(timeout=self._settings.connect_timeout_seconds) as connection:
                # The pool lends a proxy that has every method of a connection, but is none by type.
                yield cast("asyncpg.Connection", connection)

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[asyncpg.Connection]:
        """Open a connection outside the pool, for session locks and LISTEN; it is closed on leaving."""
        with translated():
            connection = await asyncpg.connect(
                self._url,
                command_timeout=self._settings.statement_timeout_seconds,
                **_connect_arguments(self._settings),
            )
            try:
                yield connection
            finally:
                await _close_connection(connection)

    @asynccontextmanager
    async def lending(self, *, connections_max: int) -> AsyncIterator[asyncpg.Pool]:
        """Open a pool of its own for users' code, which may leave anything behind: each connection is reset.

        It connects when it is first asked. The database ends what a vanished user left open within 15 s.
        """
        arguments = _connect_arguments(self._settings)
        pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=connections_max,
            command_timeout=self._settings.statement_timeout_seconds,
            **{**arguments, "server_settings": {**arguments["server_settings"], **_KEEPALIVES}},
        )
        try:
            yield pool
        finally:
            await _close_pool(pool)

    def use(self) -> dict[str, int]:
        """Return how many connections of the pool are busy and idle, and how many it may have at most."""
        size, idle = self._pool.get_size(), self._pool.get_idle_size()
        return {"busy": size - idle, "idle": idle, "max": self._pool.get_max_size()}

    async def ping(self) -> None:
        """Return when the database answers; raises StoreUnavailableError when it does not, in time."""
        seconds_max = self._settings.connect_timeout_seconds
        with translated():
            async with asyncio.timeout(seconds_max), self.connection() as connection:
                await connection.fetchval("SELECT 1")


@asynccontextmanager
async def open_database(settings: Settings, url: str) -> AsyncIterator[Database]:
    """Open a pool to the database of this URL, and close it on leaving.

    Raises:
        StoreUnavailableError: it cannot be reached in time.
    """
    pool = await _make_pool(settings, url)
    try:
        yield Database(pool=pool, settings=settings, url=url)
    finally:
        await _close_pool(pool)


async def _make_pool(settings: Settings, url: str) -> asyncpg.Pool:
    try:
        return await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=settings.pool_size_max,
            command_timeout=settings.statement_timeout_seconds,
            reset=_keep_as_it_is,
            **_connect_arguments(settings),
        )
    except (*_UNAVAILABLE, asyncpg.PostgresError, ValueError) as error:
        raise StoreUnavailableError(
            f"the database at {masked_url(url)} is out of reach: {_reason(error)}"
        ) from error


async def _keep_as_it_is(_connection: asyncpg.Connection) -> None:
    """Save the round trip of asyncpg's reset: nothing of ours leaves session state on a pooled connection."""


async def _close_pool(pool: asyncpg.Pool) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS_MAX):
            await pool.close()
    except (TimeoutError, *_UNAVAILABLE):
        pool.terminate()


async def _close_connection(connection: asyncpg.Connection) -> None:
    try:
        await connection.close(timeout=_CLOSE_SECONDS_MAX)
    except _UNAVAILABLE:
        connection.terminate()


_CLOSE_SECONDS_MAX = 5.0
_KEEPALIVES = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "15000",
}


def _connect_arguments(settings: Settings) -> dict[str, Any]:
    return {
        "timeout": settings.connect_timeout_seconds,
        "server_settings": {"application_name": "task-ledger", "jit": "off"},
    }


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
