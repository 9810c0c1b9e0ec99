"""Operations: what a client can do, written once and bound to either of the two clients.

An operation is a function that says what to ask: a call, a page of a list, a stream, a download, or a script of
several calls. Bound to TaskLedger it is done when it is called; bound to AsyncTaskLedger it is awaited, or
iterated over with `async for`. Its signature and its docstring are those of the function in both.
"""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from functools import cache, wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from api.sdk.calls import Call, Cursor, Page
from api.sdk.connection import AsyncConnection, Connection
from api.sdk.following import Stream
from api.sdk.scripts import Script

Given = ParamSpec("Given")
Answered = TypeVar("Answered")
Item = TypeVar("Item")
Described = Callable[..., Any]


class Blocking:
    """What operations are bound to that are done when they are called."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection


class Looping:
    """What operations are bound to that are awaited."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection


class Asked(Generic[Given, Answered]):
    """One call, and what its answer means."""

    def __init__(self, describe: Callable[Concatenate[Any, Given], Call[Answered]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, topic: None, kind: type) -> Described: ...
    @overload
    def __get__(self, topic: Blocking, kind: type) -> Callable[Given, Answered]: ...
    @overload
    def __get__(self, topic: Looping, kind: type) -> Callable[Given, Coroutine[Any, Any, Answered]]: ...
    def __get__(self, topic: Any, kind: type) -> Any:
        """Bind it."""
        return self._describe if topic is None else _bound(self._describe, topic, topic.connection.ask)


class Scripted(Generic[Given, Answered]):
    """Several calls, one after the other, and what comes of them."""

    def __init__(self, describe: Callable[Concatenate[Any, Given], Script[Answered]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, topic: None, kind: type) -> Described: ...
    @overload
    def __get__(self, topic: Blocking, kind: type) -> Callable[Given, Answered]: ...
    @overload
    def __get__(self, topic: Looping, kind: type) -> Callable[Given, Coroutine[Any, Any, Answered]]: ...
    def __get__(self, topic: Any, kind: type) -> Any:
        """Bind it."""
        return self._describe if topic is None else _bound(self._describe, topic, topic.connection.run)


class Listed(Generic[Given, Item]):
    """A list, fetched a page at a time while it is iterated over; its function takes a page's cursor first."""

    def __init__(self, describe: Callable[Concatenate[Any, Cursor, Given], Call[Page[Item]]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, topic: None, kind: type) -> Described: ...
    @overload
    def __get__(self, topic: Blocking, kind: type) -> Callable[Given, Iterator[Item]]: ...
    @overload
    def __get__(self, topic: Looping, kind: type) -> Callable[Given, AsyncIterator[Item]]: ...
    def __get__(self, topic: Any, kind: type) -> Any:
        """Bind it."""
        if topic is None:
            return self._describe

        page: Described = self._describe

        def describe(topic: object, *given: object, **options: object) -> Callable[[Cursor], Call[Page[Item]]]:
            return lambda cursor: page(topic, cursor, *given, **options)

        return _bound(describe, topic, topic.connection.pages, like=page, hidden=2)


class Streamed(Generic[Given, Item]):
    """A stream of events, over as many connections as it takes."""

    def __init__(self, describe: Callable[Concatenate[Any, Given], Stream[Item]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, topic: None, kind: type) -> Described: ...
    @overload
    def __get__(self, topic: Blocking, kind: type) -> Callable[Given, Generator[Item, None, None]]: ...
    @overload
    def __get__(self, topic: Looping, kind: type) -> Callable[Given, AsyncGenerator[Item, None]]: ...
    def __get__(self, topic: Any, kind: type) -> Any:
        """Bind it."""
        return self._describe if topic is None else _bound(self._describe, topic, topic.connection.follow)


class Downloaded(Generic[Given]):
    """The bytes of an answer, a piece at a time."""

    def __init__(self, describe: Callable[Concatenate[Any, Given], Call[None]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, topic: None, kind: type) -> Described: ...
    @overload
    def __get__(self, topic: Blocking, kind: type) -> Callable[Given, Iterator[bytes]]: ...
    @overload
    def __get__(self, topic: Looping, kind: type) -> Callable[Given, AsyncIterator[bytes]]: ...
    def __get__(self, topic: Any, kind: type) -> Any:
        """Bind it."""
        return self._describe if topic is None else _bound(self._describe, topic, topic.connection.download)


def _bound(
    describe: Described,
    topic: object,
    do: Callable[[Any], Any],
    *,
    like: Described | None = None,
    hidden: int = 1,
) -> Described:
    @wraps(like or describe)
    def act(*given: object, **options: object) -> object:
        return do(describe(topic, *given, **options))

    act.__signature__ = _signature(like or describe, hidden)  # type: ignore[attr-defined]  # what help() shows
    return act


@cache
def _signature(describe: Described, hidden: int) -> inspect.Signature:
    whole = inspect.signature(describe)
    return whole.replace(parameters=tuple(whole.parameters.values())[hidden:])
