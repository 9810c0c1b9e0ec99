"""A process that owns an embedded Postgres: prints its URL, pid and user, and stops it when its input ends.

Runs with nothing but the standard library and ledger.embedded_postgres, so that another system user can run it.
With a second argument it first goes to where user namespaces are blocked, as in most containers.
"""

import ctypes
import sys
from pathlib import Path

from ledger.embedded_postgres import EmbeddedPostgres

_CLONE_NEWUSER = 0x10000000


def _enter_place_without_namespaces() -> None:
    # The limit counts per user namespace: ours alone is set, the machine's is not touched.
    if ctypes.CDLL(None).unshare(_CLONE_NEWUSER) != 0:
        sys.exit("cannot enter a user namespace")
    print("map me", flush=True)  # noqa: T201 - the test listens
    sys.stdin.readline()
    Path("/proc/sys/user/max_user_namespaces").write_text("0", encoding="ascii")


def _main(home: str, blocked: str = "") -> None:
    if blocked:
        _enter_place_without_namespaces()
    server = EmbeddedPostgres(Path(home))
    url = server.start()
    owner_uid = (Path(home) / "data").stat().st_uid
    print(url, server.pid, owner_uid, flush=True)  # noqa: T201 - the test listens
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    _main(*sys.argv[1:])
