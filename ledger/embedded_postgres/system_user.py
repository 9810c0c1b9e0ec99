"""The system user that the server runs as: Postgres refuses to be root, and initdb to be a user without a name."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL

from ledger.embedded_postgres.binaries import PostgresBinaries
from ledger.embedded_postgres.child import SAME_USER, child_command
from ledger.errors import EmbeddedPostgresError

_ROOT = 0
_NAMES = ("postgres", "nobody")
_TRIAL_SECONDS_MAX = 30.0


@dataclass(frozen=True, slots=True)
class SystemUser:
    """Who the server's processes are.

    Attributes:
        child_user: for `child_command`.
        description: for a person.
        uid: the owner that its files need, seen from here.
        gid: their group.
    """

    child_user: str
    description: str
    uid: int
    gid: int

    def own(self, directory: Path) -> None:
        """Make the directory, and all in it, this user's; nothing to do where it is."""
        if directory.stat().st_uid == self.uid:
            return
        for folder, _, names in os.walk(directory):
            for path in (folder, *(os.path.join(folder, name) for name in names)):  # noqa: PTH118 - os.walk's strings
                os.chown(path, self.uid, self.gid, follow_symlinks=False)


def choose_system_user(binaries: PostgresBinaries, *, data: Path) -> SystemUser:
    """Choose the user that Postgres accepts to run as and that can reach its files.

    Root becomes `nobody` inside a user namespace (outside it stays root, so everything may lie below a 0700 home),
    or, where namespaces are blocked as in many containers, the user who owns the data already, postgres or nobody.

    Raises:
        EmbeddedPostgresError: we are root and there is no other user to become.
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid != _ROOT and _has_name(uid):
        return SystemUser(SAME_USER, pwd.getpwuid(uid).pw_name, uid, gid)
    data_uid = data.stat().st_uid if data.exists() else uid
    if data_uid == uid and (mapped := _mapped(uid, gid)) and _works(mapped, binaries):
        return mapped
    if uid == _ROOT:
        return _dropped(data_uid)
    return SystemUser(SAME_USER, f"user {uid}", uid, gid)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _mapped(uid: int, gid: int) -> SystemUser | None:
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return None
    return SystemUser(f"mapped:{nobody.pw_uid}:{nobody.pw_gid}", "nobody in a user namespace", uid, gid)


def _works(user: SystemUser, binaries: PostgresBinaries) -> bool:
    trial = child_command([binaries.postgres, "--version"], death_signal=SIGKILL, user=user.child_user)
    try:
        return subprocess.run(trial, capture_output=True, check=False, timeout=_TRIAL_SECONDS_MAX).returncode == 0  # noqa: S603 - our own step
    except (OSError, subprocess.TimeoutExpired):
        return False


def _dropped(data_uid: int) -> SystemUser:
    if data_uid != _ROOT and _has_name(data_uid):
        return _dropped_to(pwd.getpwuid(data_uid))
    for name in _NAMES:
        try:
            return _dropped_to(pwd.getpwnam(name))
        except KeyError:
            continue
    raise EmbeddedPostgresError(
        "Postgres refuses to run as root, user namespaces are blocked here, and there is no user "
        f"{' or '.join(_NAMES)}: start as an ordinary user, or set DATABASE_URL to a server that runs already"
    )


def _dropped_to(entry: pwd.struct_passwd) -> SystemUser:
    return SystemUser(f"dropped:{entry.pw_uid}:{entry.pw_gid}", entry.pw_name, entry.pw_uid, entry.pw_gid)
