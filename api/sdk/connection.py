"""The connections of the two clients: a pool each, the retries, and what a call, a list or a stream takes."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import TypeVar

import httpx

from api.sdk.calls import Call, Cursor, Page
from api.sdk.errors import TaskLedgerError
from api.sdk.following import Following, Stream
from api.sdk.retries import Trial
from api.sdk.scripts import Pause, Script
from api.sdk.terms import ClientOptions, Terms

Answered = TypeVar("Answered")
Item = TypeVar("Item")

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Connection:
    """The blocking one; threads may share it."""

    def __init__(self, base_url: str | None, options: ClientOptions) -> None:
        self._terms = Terms(base_url, options)
        self._client = httpx.Client(**self._terms.client_arguments())

    def __repr__(self) -> str:
        return repr(self._terms.base_url)

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

    def run(self, script: Script[Answered]) -> Answered:
        """Do what a script says, and return what comes of it."""
        try:
            step = next(script)
            while True:
                try:
                    answered = self._pause(step) if isinstance(step, Pause) else self.ask(step)
                except TaskLedgerError as error:
                    step = script.throw(error)
                else:
                    step = script.send(answered)
        except StopIteration as end:
            done: Answered = end.value
            return done

    def _pause(self, pause: Pause) -> object:
        time.sleep(pause.seconds)
        return None

    def pages(self, describe: Callable[[Cursor], Call[Page[Item]]]) -> Iterator[Item]:
        """Yield the items of a list, a page at a time."""
        cursor: Cursor = None
        while True:
            page = self.ask(describe(cursor))
            yield from page.items
            cursor = page.next
            if cursor is None:
                return

    def download(self, call: Call[None]) -> Iterator[bytes]:
        """Yield the bytes of an answer; one that breaks off is an error, and not begun anew."""
        trial, has_begun = Trial(call, self._terms.retries), False
        while True:
            try:
                with self._client.stream(**self._terms.request_arguments(call)) as response:
                    if response.status_code == httpx.codes.OK:
                        for piece in response.iter_bytes():
                            has_begun = True
                            yield piece
                        return
                    response.read()
                    pause = trial.pause_after_answer(self._terms.answer(response))
            except httpx.RequestError as error:
                if has_begun:
                    raise trial.broken(error) from error
                pause = trial.pause_after_failure(error, was_sent=True)
            time.sleep(pause or 0.0)

    def follow(self, stream: Stream[Item]) -> Generator[Item, None, None]:
        """Yield the events of a stream, over as many connections as it takes."""
        following = Following(stream, self._terms.retries)
        while not following.has_ended:
            try:
                with self._client.stream(**self._terms.stream_arguments(following)) as response:
                    if response.status_code == httpx.codes.NO_CONTENT:
                        return
                    if response.status_code != httpx.codes.OK:
                        response.read()
                        pause = following.trial.pause_after_answer(self._terms.answer(response))
                    else:
                        for chunk in response.iter_bytes():
                            yield from following.take(chunk)
                            if following.has_ended:
                                return
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
        self._terms = Terms(base_url, options)
        self._client = httpx.AsyncClient(**self._terms.client_arguments())

    def __repr__(self) -> str:
        return repr(self._terms.base_url)

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

    async def run(self, script: Script[Answered]) -> Answered:
        """Do what a script says, and return what comes of it."""
        try:
            step = next(script)
            while True:
                try:
                    answered = await (asyncio.sleep(step.seconds) if isinstance(step, Pause) else self.ask(step))
                except TaskLedgerError as error:
                    step = script.throw(error)
                else:
                    step = script.send(answered)
        except StopIteration as end:
            done: Answered = end.value
            return done

    async def pages(self, describe: Callable[[Cursor], Call[Page[Item]]]) -> AsyncIterator[Item]:
        """Yield the items of a list, a page at a time."""
        cursor: Cursor = None
        while True:
            page = await self.ask(describe(cursor))
            for item in page.items:
                yield item
            cursor = page.next
            if cursor is None:
                return

    async def download(self, call: Call[None]) -> AsyncIterator[bytes]:
        """Yield the bytes of an answer; one that breaks off is an error, and not begun anew."""
        trial, has_begun = Trial(call, self._terms.retries), False
        while True:
            try:
                async with self._client.stream(**self._terms.request_arguments(call)) as response:
                    if response.status_code == httpx.codes.OK:
                        async for piece in response.aiter_bytes():
                            has_begun = True
                            yield piece
                        return
                    await response.aread()
                    pause = trial.pause_after_answer(self._terms.answer(response))
            except httpx.RequestError as error:
                if has_begun:
                    raise trial.broken(error) from error
                pause = trial.pause_after_failure(error, was_sent=True)
            await asyncio.sleep(pause or 0.0)

    async def follow(self, stream: Stream[Item]) -> AsyncGenerator[Item, None]:
        """Yield the events of a stream, over as many connections as it takes."""
        following = Following(stream, self._terms.retries)
        while not following.has_ended:
            try:
                async with self._client.stream(**self._terms.stream_arguments(following)) as response:
                    if response.status_code == httpx.codes.NO_CONTENT:
                        return
                    if response.status_code != httpx.codes.OK:
                        await response.aread()
                        pause = following.trial.pause_after_answer(self._terms.answer(response))
                    else:
                        async for chunk in response.aiter_bytes():
                            for event in following.take(chunk):
                                yield event
                            if following.has_ended:
                                return
                        pause = 0.0
            except httpx.RequestError as error:
                pause = following.trial.pause_after_failure(error, was_sent=True)
            await asyncio.sleep(pause or self._terms.retries.pause_seconds(1))

    async def close(self) -> None:
        """Close the pool."""
        await self._client.aclose()
