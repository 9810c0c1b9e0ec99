"""What both connections have in common: the settings, and the greatest position that the server told of."""

import os
import threading
from typing import Any, TypedDict

import httpx

from api.sdk.calls import Answer, Call
from api.sdk.errors import ClientSettingError
from api.sdk.following import SILENCE_SECONDS_MAX, Following
from api.sdk.retries import Retries

# Less than the 5 s after which the server closes an idle connection, so that few requests run into the close.
_IDLE_SECONDS_MAX = 4.0


class ClientOptions(TypedDict, total=False):
    """How a client connects.

    Attributes:
        api_key: sent as `Authorization: Bearer`; LEDGER_API_KEY when absent, and nothing without that.
        timeout_seconds: how long to wait for a connection, and for an answer.
        connections_max: the bound of the pool; each stream and each wait takes one.
        retries: when to send again.
        read_your_writes: whether reads wait for the latest position that this client has heard of.
    """

    api_key: str
    timeout_seconds: float
    connections_max: int
    retries: Retries
    read_your_writes: bool


class Terms:
    """What a client was given, written into requests, and what it has learned from answers."""

    def __init__(self, base_url: str | None, options: ClientOptions) -> None:
        self.base_url = _checked_url(base_url or os.environ.get("LEDGER_URL", ""))
        self.retries = options.get("retries", Retries())
        self._api_key = options.get("api_key") or os.environ.get("LEDGER_API_KEY", "")
        if not (self._api_key.isascii() and self._api_key.isprintable()):
            raise ClientSettingError("the API key must be visible ASCII characters")  # and is not shown
        self._timeout_seconds = options.get("timeout_seconds", 10.0)
        self._connections_max = options.get("connections_max", 100)
        self._reads_own_writes = options.get("read_your_writes", True)
        self._position = 0
        self._lock = threading.Lock()

    def client_arguments(self) -> dict[str, Any]:
        """Return what both kinds of httpx clients are made of."""
        authorization = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        return {
            "base_url": self.base_url,
            "headers": {"User-Agent": "task-ledger-client", **authorization},
            "timeout": self._timeout_seconds,
            "limits": httpx.Limits(
                max_connections=self._connections_max,
                max_keepalive_connections=self._connections_max,
                keepalive_expiry=_IDLE_SECONDS_MAX,
            ),
        }

    def request_arguments(self, call: Call[Any]) -> dict[str, Any]:
        """Return a call as httpx takes it."""
        fresh = call.is_fresh and self._reads_own_writes and self._position
        return {
            "method": call.method,
            "url": call.path,
            "params": call.query,
            "content": call.body,
            "headers": {**call.headers, **({"Ledger-Min-Position": str(self._position)} if fresh else {})},
            "timeout": httpx.Timeout(self._timeout_seconds, read=self._timeout_seconds + call.wait_seconds),
        }

    def stream_arguments(self, following: Following[Any]) -> dict[str, Any]:
        """Return the next connection of a stream as httpx takes it."""
        return {
            **self.request_arguments(following.call),
            "headers": following.headers(),
            "timeout": httpx.Timeout(self._timeout_seconds, read=SILENCE_SECONDS_MAX),
        }

    def answer(self, response: httpx.Response) -> Answer:
        """Return a response that was read, and remember the position that it tells of."""
        answer = Answer(response.status_code, dict(response.headers), response.content)
        with self._lock:
            self._position = max(self._position, answer.position)
        return answer


def _checked_url(text: str) -> str:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError) as error:
        raise ClientSettingError(f"the base URL (LEDGER_URL) must be a URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ClientSettingError("the base URL (LEDGER_URL) must begin with http:// or https://")
    if url.userinfo:
        raise ClientSettingError("the base URL (LEDGER_URL) must have no password in it; give api_key instead")
    return str(url).rstrip("/")
