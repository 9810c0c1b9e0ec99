"""The sender: one signed request over HTTP, bounded in time and in what is read of the answer."""

import asyncio
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

import httpx

from ledger.jsonvalue import storable_text
from ledger.settings import Settings
from ledger.webhooks.address import resolved
from ledger.webhooks.endpoint import port_of
from ledger.webhooks.errors import WebhookAddressError
from ledger.webhooks.message import WebhookMessage
from ledger.webhooks.retry import Answer
from ledger.webhooks.signature import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign

_RESOLVERS_MAX = 32
_BODY_SECONDS_MAX = 1.0
_ERROR_CHARS_MAX = 500
_REDIRECTS = range(HTTPStatus.MULTIPLE_CHOICES, HTTPStatus.BAD_REQUEST)


class Outside:
    """What the senders of a process share: the threads that look names up, and the trusted authorities."""

    def __init__(self) -> None:
        self.resolvers = ThreadPoolExecutor(_RESOLVERS_MAX, thread_name_prefix="webhook-names")

    @cached_property
    def trust(self) -> ssl.SSLContext:
        """The authorities that certificates are checked by; to load them takes its time."""
        return httpx.create_ssl_context(trust_env=False)

    def close(self) -> None:
        """Let go of the threads; one that hangs ends with its lookup."""
        self.resolvers.shutdown(wait=False, cancel_futures=True)


class Sender:
    """Sends to one endpoint, on connections of its own: others may share its address, never its TLS session."""

    def __init__(self, settings: Settings, outside: Outside) -> None:
        self._settings = settings
        self._outside = outside
        # Neither redirects nor proxies nor cookies: the request goes where it was checked, and nowhere else.
        self._client = httpx.AsyncClient(
            verify=outside.trust,
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # noqa: S113 - LEDGER_WEBHOOK_TIMEOUT_SECONDS bounds all of it
            limits=httpx.Limits(max_connections=2, max_keepalive_connections=1, keepalive_expiry=30),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def send(self, url: str, message: WebhookMessage, secrets: Sequence[str], *, timestamp: int) -> Answer:
        """Send a message, signed with each of the secrets at this Unix second, and say what was answered.

        Whatever goes wrong outside is an answer as well.
        """
        began = time.monotonic()
        seconds_max = self._settings.webhook_timeout_seconds
        try:
            async with asyncio.timeout(seconds_max):
                signature = sign(message.id, timestamp, message.body, secrets)
                headers = {
                    "content-type": message.content_type,
                    "user-agent": "task-ledger",
                    "accept-encoding": "identity",
                    ID_HEADER: message.id,
                    TIMESTAMP_HEADER: str(timestamp),
                    SIGNATURE_HEADER: signature,
                }
                return await self._post(urlsplit(url), message.body, headers, began)
        except TimeoutError:
            error = f"no answer within {seconds_max:g} s (LEDGER_WEBHOOK_TIMEOUT_SECONDS)"
        except WebhookAddressError as refusal:
            error = str(refusal)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as trouble:
            error = storable_text(f"{type(trouble).__name__}: {trouble}", chars_max=_ERROR_CHARS_MAX)
        return Answer(error=error, duration_ms=_since(began))

    async def _post(self, parts: SplitResult, body: bytes, headers: dict[str, str], began: float) -> Answer:
        host, port = parts.hostname or "", port_of(parts)
        allow_private = self._settings.webhook_allow_private
        address = await resolved(host, port, allow_private=allow_private, resolvers=self._outside.resolvers)
        target = httpx.URL(parts.geturl()).copy_with(host=address, port=port)
        self._client.cookies.clear()
        async with self._client.stream(
            "POST",
            target,
            content=body,
            headers={**headers, "host": parts.netloc},
            extensions={"sni_hostname": host},  # the name that its certificate has to have
        ) as response:
            text = await self._begin_of(response)
            return Answer(
                status=response.status_code,
                error=_sentence(response.status_code),
                response=text,
                retry_after=response.headers.get("retry-after"),
                duration_ms=_since(began),
            )

    async def _begin_of(self, response: httpx.Response) -> str:
        bytes_max = self._settings.webhook_response_bytes_max
        read = bytearray()
        # The status has said it all: a body that does not come changes nothing.
        with suppress(TimeoutError, httpx.HTTPError):
            async with asyncio.timeout(_BODY_SECONDS_MAX):
                async for chunk in response.aiter_raw():
                    read += chunk[: bytes_max - len(read)]
                    if len(read) >= bytes_max:
                        break
        return storable_text(bytes(read).decode("utf-8", "replace"), chars_max=bytes_max)


def _sentence(status: int) -> str:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return ""
    if status in _REDIRECTS:
        return f"HTTP {status}: redirects are not followed"
    return f"HTTP {status}"


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
