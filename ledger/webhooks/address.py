"""Addresses that a webhook may reach: a name is resolved once, and the connection goes to what was checked."""

import asyncio
import ipaddress
import socket
from concurrent.futures import Executor

from ledger.webhooks.errors import WebhookAddressError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# What an IPv6 address of these networks reaches is the IPv4 address in its last four bytes (RFC 6052).
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


async def resolved(host: str, port: int, *, allow_private: bool, resolvers: Executor) -> str:
    """Return the address to connect to.

    Raises:
        WebhookAddressError: the name has none, or one that must not be reached.
    """
    loop = asyncio.get_running_loop()
    try:
        # In threads of our own: a name server that hangs must not take those that the rest of the process needs.
        found = await loop.run_in_executor(resolvers, _look_up, host, port)
    except (OSError, UnicodeError) as error:
        raise WebhookAddressError(f"the host has no address ({type(error).__name__})") from error
    addresses = [ipaddress.ip_address(text) for text in found]
    if not addresses:
        raise WebhookAddressError("the host has no address")
    for address in addresses:
        check_public(address, allow_private=allow_private)
    return str(addresses[0])


def check_public(address: Address, *, allow_private: bool) -> None:
    """Raise WebhookAddressError for an address that is not public, unless private ones are allowed."""
    reached = _reached(address)
    if not allow_private and (not reached.is_global or reached.is_multicast or reached.is_reserved):
        raise WebhookAddressError("the host is at an address that is not public (LEDGER_WEBHOOK_ALLOW_PRIVATE)")


def _reached(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        return inner or address
    return address


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]).partition("%")[0] for *_, address in found]
