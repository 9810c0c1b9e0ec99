"""Who can reach the API without a key: only this machine, unless somebody said otherwise."""

import ipaddress
import socket

from api.guard import Access
from ledger.bootstrap import Ledger
from ledger.errors import ConfigurationError


async def access_of(ledger: Ledger) -> Access:
    """Return who is let in where the API listens on LEDGER_HOST.

    Raises:
        ConfigurationError: others than this machine could reach it, there is no key, and nobody has set
            LEDGER_ALLOW_OPEN.
        StoreUnavailableError: the keys cannot be read.
    """
    settings = ledger.settings
    if settings.allow_open:
        return Access(ledger)
    is_local = _is_loopback(settings.host)
    access = Access(ledger, local_names_only=is_local)
    if not is_local and await access.is_open():
        raise ConfigurationError(
            f"LEDGER_HOST must be a loopback address while there is no API key, got {settings.host!r}: "
            "make a key with `taskledger keys create`, set LEDGER_ADMIN_KEY, or let everybody in with "
            "LEDGER_ALLOW_OPEN=true"
        )
    return access


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host or None, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        return True  # the server will say that it is no address of this machine
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)
