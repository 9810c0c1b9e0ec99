"""The embedded Postgres and its owner's fate: killed, an ordinary user, or root where namespaces are blocked."""

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP

import asyncpg
import pytest

import ledger
from ledger.embedded_postgres import EmbeddedPostgres, PostgresBinaries
from ledger.errors import EmbeddedPostgresError
from tests.services.postgres import chosen_binaries
from tests.services.processes import is_running, processes_within, wait_until
from tests.services.provision import absent

_SCRIPT = Path(__file__).with_name("embedded_owner.py")
_CHECKOUT = Path(ledger.__file__).parents[1]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def binaries() -> PostgresBinaries:
    try:
        return chosen_binaries()
    except EmbeddedPostgresError as error:
        absent("embedded Postgres", [str(error)])


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "home"
    yield path
    assert processes_within(path) == []
    shutil.rmtree(path)


@pytest.fixture
def public_place() -> Iterator[Path]:
    """A directory that every user can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        place.chmod(0o755)
        yield place
        wait_until(lambda: not processes_within(place), seconds_max=10, what="the server is gone")


@dataclass(frozen=True, slots=True)
class Owner:
    """A running owner process and what it said about its server."""

    process: subprocess.Popen[str]
    url: str
    server_pid: int
    data_uid: int

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.process.kill()
        self.process.communicate()

    def dismiss(self) -> None:
        """End its input, so that it stops its server and exits in good order."""
        self.process.communicate()
        assert self.process.returncode == 0


def start_owner(
    home: Path,
    binaries: Path,
    *,
    checkout: Path = _CHECKOUT,
    python: str = sys.executable,
    user: int | None = None,
    without_namespaces: bool = False,
) -> Owner:
    script = checkout / _SCRIPT.name if checkout != _CHECKOUT else _SCRIPT
    process = subprocess.Popen(
        [python, str(script), str(home), *(["blocked"] if without_namespaces else [])],
        env={**os.environ, "PYTHONPATH": str(checkout), "LEDGER_PG_BIN": str(binaries)},
        cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, user=user, group=user,
        extra_groups=None if user is None else [],
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    if without_namespaces:
        assert process.stdout.readline() == "map me\n"
        for numbers in ("gid_map", "uid_map"):
            Path(f"/proc/{process.pid}/{numbers}").write_text("0 0 65536", encoding="ascii")
        process.stdin.write("mapped\n")
        process.stdin.flush()
    url, pid, uid = process.stdout.readline().split()
    return Owner(process, url, int(pid), int(uid))


async def put_row(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
    await connection.execute("INSERT INTO kept VALUES (1)")
    await connection.close()


async def count_rows(url: str) -> int:
    connection = await asyncpg.connect(url)
    count: int = await connection.fetchval("SELECT count(*) FROM kept")
    await connection.close()
    return count


async def test_killed_owner_takes_its_server_along_and_the_rows_come_back(
    home: Path, binaries: PostgresBinaries
) -> None:
    owner = start_owner(home, binaries.directory)
    await put_row(owner.url)

    owner.kill()
    wait_until(lambda: not is_running(owner.server_pid), seconds_max=10, what="the server is gone")

    async with EmbeddedPostgres(home, binaries=binaries) as server:
        assert await count_rows(server.url) == 1


async def test_next_owner_need_not_wait_for_the_killed_one(home: Path, binaries: PostgresBinaries) -> None:
    owner = start_owner(home, binaries.directory)
    await put_row(owner.url)

    owner.kill()

    async with EmbeddedPostgres(home, binaries=binaries) as server:
        assert not is_running(owner.server_pid)
        assert await count_rows(server.url) == 1


async def test_rows_survive_sigkill_of_the_owner_and_of_every_process_of_the_server(
    home: Path, binaries: PostgresBinaries
) -> None:
    owner = start_owner(home, binaries.directory)
    await put_row(owner.url)

    for pid in [owner.process.pid, owner.server_pid, *processes_within(home)]:
        with suppress(ProcessLookupError):  # one that ended by itself meanwhile
            os.kill(pid, SIGKILL)
    owner.process.communicate()

    async with EmbeddedPostgres(home, binaries=binaries) as server:
        assert await count_rows(server.url) == 1


async def test_rows_survive_sigkill_of_the_server_alone(home: Path, binaries: PostgresBinaries) -> None:
    async with EmbeddedPostgres(home, binaries=binaries) as server:
        await put_row(server.url)
        assert server.pid is not None
        os.kill(server.pid, SIGKILL)

    async with EmbeddedPostgres(home, binaries=binaries) as server:
        assert await count_rows(server.url) == 1


async def test_start_waits_for_the_last_process_of_a_killed_server(home: Path, binaries: PostgresBinaries) -> None:
    async with EmbeddedPostgres(home, binaries=binaries) as server:
        await put_row(server.url)
        connection = await asyncpg.connect(server.url)
        frozen: int = connection.get_server_pid()
        os.kill(frozen, SIGSTOP)
        assert server.pid is not None
        os.kill(server.pid, SIGKILL)
    connection.terminate()

    server = EmbeddedPostgres(home, binaries=binaries)
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    log = home / "postgres.log"
    await asyncio.to_thread(
        wait_until, lambda: "pre-existing shared memory" in log.read_text(), seconds_max=20, what="it is refused"
    )
    os.kill(frozen, SIGCONT)

    assert await count_rows(await starting) == 1
    await asyncio.to_thread(server.stop)


@as_root
async def test_root_without_namespaces_becomes_another_user_below_a_private_directory(
    home: Path, binaries: PostgresBinaries
) -> None:
    _, private_binaries = _copies(home.parent, binaries)

    for start in (1, 2):
        owner = start_owner(home, private_binaries, without_namespaces=True)
        await put_row(owner.url)

        assert owner.data_uid in {pwd.getpwnam(name).pw_uid for name in ("postgres", "nobody")}
        assert await count_rows(owner.url) == start
        owner.kill()

    async with EmbeddedPostgres(home, binaries=binaries) as server:
        assert await count_rows(server.url) == 2


@as_root
async def test_root_whose_namespaces_became_blocked_hands_its_data_to_another_user(
    home: Path, binaries: PostgresBinaries
) -> None:
    async with EmbeddedPostgres(home, binaries=binaries) as server:
        await put_row(server.url)

    owner = start_owner(home, binaries.directory, without_namespaces=True)

    assert owner.data_uid != 0
    assert await count_rows(owner.url) == 1
    owner.dismiss()


@as_root
async def test_ordinary_user_runs_it_and_its_rows_survive_a_kill(
    public_place: Path, binaries: PostgresBinaries
) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    checkout, readable_binaries = _copies(public_place, binaries)
    python = _python_for(nobody)
    home = public_place / "theirs" / "home"
    home.parent.mkdir()
    os.chown(home.parent, nobody, -1)

    for start in (1, 2):
        owner = start_owner(home, readable_binaries, checkout=checkout, python=python, user=nobody)
        await put_row(owner.url)
        assert owner.data_uid == nobody
        assert await count_rows(owner.url) == start
        owner.kill()


def _copies(place: Path, binaries: PostgresBinaries) -> tuple[Path, Path]:
    checkout = place / "checkout"
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(
        _CHECKOUT / "ledger" / "embedded_postgres", checkout / "ledger" / "embedded_postgres", ignore=unwanted
    )
    for name in ("__init__.py", "errors.py"):
        shutil.copy(_CHECKOUT / "ledger" / name, checkout / "ledger" / name)
    shutil.copy(_SCRIPT, checkout / _SCRIPT.name)
    if binaries.source.value != "wheel":
        return checkout, binaries.directory
    installed = binaries.directory.parent
    shutil.copytree(installed, place / "package" / installed.name, ignore=shutil.ignore_patterns("include"))
    shutil.copytree(f"{installed.parent}.libs", place / f"{installed.parent.name}.libs")
    return checkout, place / "package" / installed.name / "bin"


def _python_for(user: int) -> str:
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            question = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
            if (
                subprocess.run(question, user=user, group=user, extra_groups=[], cwd="/", check=False).returncode
                == 0
            ):
                return python
        except OSError:
            continue
    pytest.skip("no Python 3.11 that another user can run")
