"""The connections of the two clients: a pool each, the retries, and the position that reads wait for."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, Generator
from typing import Any, TypedDict, TypeVar

import httpx

from api.sdk.answers import Event
from api.sdk.calls import Answer, Call
from api.sdk.errors import ClientSettingError
from api.sdk.following import SILENCE_SECONDS_MAX, Following
from api.sdk.retries import Retries, Trial

Answered = TypeVar("Answered")

# Less than the 5 s after which the server closes an idle connection, so that few requests run into the close.
_IDLE_SECONDS_MAX = 4.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


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


class _Terms:
    """What both connections have in common: the settings, and the greatest position that the server told of."""

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

    def stream_arguments(self, following: Following) -> dict[str, Any]:
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


class Connection:
    """The blocking one; threads may share it."""

    def __init__(self, base_url: str | None, options: ClientOptions) -> None:
        self._terms = _Terms(base_url, options)
        self._client = httpx.Client(**self._terms.client_arguments())

    def __repr__(self) -> str:
        return repr(self._terms.base_url)

    @property
    def retries(self) -> Retries:
        """When requests are sent again."""
        return self._terms.retries

    def ask(self, call: Call[Answered]) -> Answered:
        """Send a call, as often as it takes, and return what its answer means."""
        trial = Trial(call, self._terms.retries)
        while True:
            try:
                answer = self._terms.answer(self._client.request(**self._terms.request_arguments(call)))
            except httpx.RequestError as error:
                pause: float | None = trial.pause_after_failure(error, was_sent=not isinstance(error, _NOT_SENT))
            else:
                pause = trial.pause_after_answer(answer)
                if pause is None:
                    return call.read(answer)
            time.sleep(pause or 0.0)

    def follow(self, following: Following) -> Generator[Event, None, None]:
        """Yield the events of a stream, over as many connections as it takes."""
        while True:
            try:
                with self._client.stream(**self._terms.stream_arguments(following)) as response:
                    if response.status_code != httpx.codes.OK:
                        response.read()
                        pause = following.trial.pause_after_answer(self._terms.answer(response))
                    else:
                        for chunk in response.iter_bytes():
                            yield from following.take(chunk)
                        pause = 0.0
            except httpx.RequestError as error:
                pause = following.trial.pause_after_failure(error, was_sent=True)
            time.sleep(pause or self._terms.retries.pause_seconds(1))

    def close(self) -> None:
        """Close the pool."""
        self._client.close()


class AsyncConnection:
    """The one for an event loop."""

    def __init__(self, base_url: str | None, options: ClientOptions) -> None:
        self._terms = _Terms(base_url, options)
        self._client = httpx.AsyncClient(**self._terms.client_arguments())

    def __repr__(self) -> str:
        return repr(self._terms.base_url)

    @property
    def retries(self) -> Retries:
        """When requests are sent again."""
        return self._terms.retries

    async def ask(self, call: Call[Answered]) -> Answered:
        """Send a call, as often as it takes, and return what its answer means."""
        trial = Trial(call, self._terms.retries)
        while True:
            try:
                answer = self._terms.answer(await self._client.request(**self._terms.request_arguments(call)))
            except httpx.RequestError as error:
                pause: float | None = trial.pause_after_failure(error, was_sent=not isinstance(error, _NOT_SENT))
            else:
                pause = trial.pause_after_answer(answer)
                if pause is None:
                    return call.read(answer)
            await asyncio.sleep(pause or 0.0)

    async def follow(self, following: Following) -> AsyncGenerator[Event, None]:
        """Yield the events of a stream, over as many connections as it takes."""
        while True:
            try:
                async with self._client.stream(**self._terms.stream_arguments(following)) as response:
                    if response.status_code != httpx.codes.OK:
                        await response.aread()
                        pause = following.trial.pause_after_answer(self._terms.answer(response))
                    else:
                        async for chunk in response.aiter_bytes():
                            for event in following.take(chunk):
                                yield event
                        pause = 0.0
            except httpx.RequestError as error:
                pause = following.trial.pause_after_failure(error, was_sent=True)
            await asyncio.sleep(pause or self._terms.retries.pause_seconds(1))

    async def close(self) -> None:
        """Close the pool."""
        await self._client.aclose()


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
