"""The names that a machine has for itself."""

import ipaddress
from urllib.parse import urlsplit


def is_local_name(host: str) -> bool:
    """Say whether a Host header names this machine by a name of its own."""
    name = urlsplit(f"//{host}").hostname or ""
    if name in ("", "localhost") or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
