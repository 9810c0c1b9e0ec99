"""Requests that last: each is told when its caller would not be let in any more."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence

import pytest
from starlette.types import Message, Scope

from api.errors import NotAuthenticatedError, TooManyExportsError
from api.export import ExportResponse
from api.places import Places
from api.stays import Stays, staying
from ledger.errors import StoreUnavailableError

AT_ONCE_SECONDS = 5.0


async def test_who_is_not_welcome_any_more_is_told_and_the_others_stay() -> None:
    async def judge(scopes: Sequence[Scope]) -> Sequence[bool]:
        return [scope["is_welcome"] for scope in scopes]

    stays = Stays(judge)
    async with stays.watched({"is_welcome": True}) as one, stays.watched({"is_welcome": False}) as other:
        ended = await stays.look_once()

    assert (ended, one.over.is_set(), other.over.is_set()) == (1, False, True)


async def test_who_cannot_be_judged_stays_until_they_can() -> None:
    verdicts: Iterator[StoreUnavailableError | Sequence[bool]] = iter(
        [StoreUnavailableError("away"), [True], [False]]
    )

    async def judge(_scopes: Sequence[Scope]) -> Sequence[bool]:
        verdict = next(verdicts)
        if isinstance(verdict, StoreUnavailableError):
            raise verdict
        return verdict

    async with asyncio.timeout(AT_ONCE_SECONDS), Stays(judge, look_seconds=0.01).watched({}) as stay:
        await stay.over.wait()

    assert list(verdicts) == []


async def test_nobody_is_looked_after_when_nobody_stays() -> None:
    asked = asyncio.Event()

    async def judge(scopes: Sequence[Scope]) -> Sequence[bool]:
        assert scopes
        asked.set()
        return [True] * len(scopes)

    stays = Stays(judge, look_seconds=0.01)
    before = asyncio.all_tasks()
    for _ in range(2):
        asked.clear()
        async with asyncio.timeout(AT_ONCE_SECONDS), stays.watched({}):
            await asked.wait()
        await asyncio.sleep(0)

    assert asyncio.all_tasks() == before


async def test_an_export_breaks_off_without_its_end_and_frees_its_place() -> None:
    async def judge(scopes: Sequence[Scope]) -> Sequence[bool]:
        return [False] * len(scopes)

    async def pieces() -> AsyncGenerator[bytes]:
        async with staying(scope) as same:
            yield b"{}\n"
            await same.over.wait()
            yield b"{}\n"

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return await asyncio.Event().wait() and {}  # a client that stays

    scope: Scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
    Stays(judge, look_seconds=0.01).take(scope)
    sent: list[Message] = []
    places = Places(1, setting="LEDGER_EXPORTS_MAX", refusal=TooManyExportsError)

    async with asyncio.timeout(AT_ONCE_SECONDS):
        with pytest.raises(NotAuthenticatedError):
            await ExportResponse(pieces(), places, headers={})(scope, receive, send)

    assert [message.get("body") for message in sent] == [None, b"{}\n"]
    assert places.taken_count == 0
