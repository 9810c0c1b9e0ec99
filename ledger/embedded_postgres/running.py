"""How another process of the same user finds an embedded Postgres that runs already."""

from pathlib import Path
from urllib.parse import quote

# The format of postmaster.pid (src/include/utils/pidfile.h): line 4 is the port, line 8 the state.
_PORT_LINE = 3
_STATE_LINE = 7


def running_url(home: Path) -> str | None:
    """Return the URL of the server that runs on this home; None where none does, or it is another user's."""
    try:
        lines = (home / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        password = (home / "password").read_text(encoding="ascii").strip()
    except OSError:
        return None
    if len(lines) <= _STATE_LINE or lines[_STATE_LINE].strip() != "ready":
        return None
    return f"postgresql://postgres:{quote(password)}@127.0.0.1:{lines[_PORT_LINE].strip()}/postgres"
