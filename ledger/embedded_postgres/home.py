"""The home of one embedded Postgres: its data, password and log, and the lock of the process that owns it."""

import fcntl
import os
import secrets
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from ledger.embedded_postgres.binaries import PostgresBinaries
from ledger.errors import DataDirectoryInUseError, EmbeddedPostgresError

_LOG_BYTES_MAX = 10_000_000
_TAIL_BYTES_MAX = 2000
_PRIVATE_DIRECTORY = 0o700
_PRIVATE_FILE = 0o600


class Home:
    """A directory that one process at a time may own; what is in it survives every process."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.data = self.path / "data"
        self.unfinished_data = self.path / "data.new"
        self.password_file = self.path / "password"
        self.log_file = self.path / "postgres.log"
        self._lock_file = self.path / "lock"
        self._lock: TextIOWrapper | None = None

    def claim(self) -> None:
        """Become the owner; the kernel ends the ownership with this process, however that ends.

        Raises:
            DataDirectoryInUseError: another process, or another server of this one, is the owner.
            EmbeddedPostgresError: the directory cannot be made or written.
        """
        try:
            self.path.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            lock = os.fdopen(
                os.open(self._lock_file, os.O_RDWR | os.O_CREAT, _PRIVATE_FILE), "r+", encoding="ascii"
            )
        except OSError as error:
            raise EmbeddedPostgresError(f"the data directory {self.path} cannot be written: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise DataDirectoryInUseError(directory=str(self.path), owner=f"pid {owner}") from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        """Stop being the owner; idempotent. The lock file stays: removing it would let two owners in."""
        if self._lock is not None:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    def has_data(self) -> bool:
        """Say whether there is a complete data directory."""
        return (self.data / "PG_VERSION").exists()

    def check_data_fits(self, binaries: PostgresBinaries) -> None:
        """Refuse data of another major version, which the server would refuse with less of a hint."""
        major = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        if major != str(binaries.major):
            raise EmbeddedPostgresError(
                f"the data directory {self.data} was made by Postgres {major} and cannot be opened by {binaries}: "
                f"set LEDGER_PG_BIN to the binaries of Postgres {major}, or dump the data with those, move the "
                "directory away and restore"
            )

    def password(self) -> str:
        """Return the superuser's password; it is made once, before the data, and for our eyes only."""
        if self.password_file.exists():
            return self.password_file.read_text(encoding="ascii").strip()
        if self.has_data():
            raise EmbeddedPostgresError(
                f"the password file {self.password_file} is gone, so nobody can log in to the data directory "
                f"{self.data}: put it back, or move the data away to start with an empty ledger"
            )
        password = secrets.token_urlsafe(24)
        descriptor = os.open(self.password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(password + "\n")
            file.flush()
            os.fsync(descriptor)
        return password

    def adopt_data(self) -> None:
        """Make the unfinished data directory the data directory, in one step that a power loss cannot halve."""
        self.unfinished_data.rename(self.data)
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def open_log(self) -> BinaryIO:
        """Open the log for appending; one that is too long is set aside first, and replaces the last such."""
        if self.log_file.exists() and self.log_file.stat().st_size > _LOG_BYTES_MAX:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        descriptor = os.open(self.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _PRIVATE_FILE)
        return os.fdopen(descriptor, "ab")

    def log_tail(self, *, start: int) -> str:
        """Return the end of what was logged after byte `start`."""
        with self.log_file.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - _TAIL_BYTES_MAX))
            return file.read().decode(errors="replace").strip()
