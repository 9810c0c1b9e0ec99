"""Both clients under one interface, so that one suite serves them both."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

from api.client import AsyncTaskLedger, TaskLedger


class Threaded:
    """A blocking client or part of it, each call of which runs in a thread; an iterator becomes a list."""

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the client has there
        found = getattr(self._inner, name)
        return partial(_in_thread, found) if callable(found) else Threaded(found)


async def _in_thread(method: Callable[..., object], *arguments: object, **options: object) -> object:
    def call() -> object:
        answer = method(*arguments, **options)
        return list(answer) if isinstance(answer, Iterator) else answer

    return await asyncio.to_thread(call)


class Listing:
    """An asynchronous client or part of it, whose iterators become lists."""

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the client has there
        found = getattr(self._inner, name)
        return partial(_listed, found) if callable(found) else Listing(found)


async def _listed(method: Callable[..., Any], *arguments: object, **options: object) -> object:
    answer = method(*arguments, **options)
    if isinstance(answer, AsyncIterator):
        return [item async for item in answer]
    return await answer


def client_of(kind: type[TaskLedger] | type[AsyncTaskLedger], url: str) -> Any:  # noqa: ANN401 - either of them
    """Return a client of this kind under the common interface."""
    return Threaded(TaskLedger(url)) if kind is TaskLedger else Listing(AsyncTaskLedger(url))
