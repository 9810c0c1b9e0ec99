"""Fixtures: a Postgres server for the session, a database for each test, and servers that a test may kill."""

import asyncio
import os
import secrets
import shutil
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from ledger.embedded_postgres import BinariesSource, PostgresBinaries, find_binaries
from ledger.errors import EmbeddedPostgresError
from tests.services.docker import container
from tests.services.private_postgres import PrivatePostgres
from tests.services.provision import Provider, ServiceAbsentError, absent, provided

Result = TypeVar("Result")

_IMAGE = "postgres:18-alpine"
_MEMORY = Path("/dev/shm")  # noqa: S108 - the system's own place for files in memory
_MEMORY_BYTES_MIN = 4 * 1024**3
_CHOICES = {"system": BinariesSource.SYSTEM, "wheel": BinariesSource.WHEEL}


@pytest.fixture(scope="session")
def postgres_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The superuser's URL of a server for the session: LEDGER_TEST_DATABASE_URL, else Docker, else local binaries.

    LEDGER_TEST_PG=system or wheel chooses the binaries and passes Docker by.
    """
    local = partial(_local_server, tmp_path_factory.mktemp("postgres") / "home")
    providers: list[Provider] = [local] if "LEDGER_TEST_PG" in os.environ else [_docker_server, local]
    yield from provided("Postgres", variable="LEDGER_TEST_DATABASE_URL", providers=providers)


@pytest.fixture(scope="session")
def template_database(postgres_server_url: str) -> Iterator[str]:
    """The name of a migrated database that the session's databases are copied from."""
    from ledger.migrate import migrate  # noqa: PLC0415 - so that the tests of the servers need no migrations

    with _database(postgres_server_url) as url:
        run_apart(migrate(url))
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def database_url(postgres_server_url: str, template_database: str) -> Iterator[str]:
    """The URL of a fresh, migrated database, which is dropped afterwards."""
    with _database(postgres_server_url, template=template_database) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_server_url: str) -> Iterator[str]:
    """The URL of a fresh database without our schema, which is dropped afterwards."""
    with _database(postgres_server_url) as url:
        yield url


@pytest.fixture
def private_postgres(tmp_path: Path) -> Iterator[PrivatePostgres]:
    """A started server of this test's own, to stop, kill and restart."""
    try:
        binaries = chosen_binaries()
    except EmbeddedPostgresError as error:
        absent("private Postgres", [str(error)])
    with _private_server(tmp_path / "private-postgres", binaries) as server:
        yield server


def chosen_binaries() -> PostgresBinaries:
    """Return the binaries that LEDGER_TEST_PG chooses, else the first ones found."""
    choice = os.environ.get("LEDGER_TEST_PG")
    if choice is None:
        return find_binaries()
    if choice not in _CHOICES:
        raise EmbeddedPostgresError(f"LEDGER_TEST_PG must be system or wheel, got {choice!r}")
    return find_binaries(_CHOICES[choice])


def run_apart(work: Coroutine[object, object, Result]) -> Result:
    """Run a coroutine to its end on a thread and loop of its own, and so leave the test's loop alone."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def url_of_database(server_url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


@contextmanager
def _database(server_url: str, *, template: str = "template0") -> Iterator[str]:
    name = f"ledger_test_{secrets.token_hex(6)}"
    # Without fsync a copy of the files takes half as long as one through the write-ahead log.
    run_apart(_execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy'))
    try:
        yield url_of_database(server_url, name)
    finally:
        run_apart(_execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@contextmanager
def _docker_server() -> Iterator[str]:
    password = secrets.token_hex(16)
    environment = {"POSTGRES_PASSWORD": password}

    def is_ready(host: str, port: int) -> bool:
        try:
            run_apart(_execute(f"postgresql://postgres:{password}@{host}:{port}/postgres", "SELECT 1"))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    with container(_IMAGE, port=5432, environment=environment, is_ready=is_ready) as (host, port):
        yield f"postgresql://postgres:{password}@{host}:{port}/postgres"


@contextmanager
def _in_memory(otherwise: Path) -> Iterator[Path]:
    # A database for each test is a thousand files: to copy them in memory takes a sixteenth of the time.
    free = shutil.disk_usage(_MEMORY).free if os.access(_MEMORY, os.W_OK) else 0
    if free < _MEMORY_BYTES_MIN:
        yield otherwise
        return
    with TemporaryDirectory(dir=_MEMORY, prefix="task-ledger-tests-") as directory:
        yield Path(directory) / "home"


@contextmanager
def _local_server(otherwise: Path) -> Iterator[str]:
    try:
        binaries = chosen_binaries()
    except EmbeddedPostgresError as error:
        raise ServiceAbsentError(str(error)) from error
    with _in_memory(otherwise) as home, _private_server(home, binaries) as server:
        yield server.url


@contextmanager
def _private_server(home: Path, binaries: PostgresBinaries) -> Iterator[PrivatePostgres]:
    server = PrivatePostgres(home, binaries=binaries)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(home)
