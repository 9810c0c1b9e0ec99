"""The gate lets in so many at once, keeps so many in line, and sends the others away."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from ledger.errors import StoreUnavailableError
from ledger.store.gate import Gate


def gate() -> Gate:
    return Gate(at_once_max=2, waiting_max=2, waiting_bytes_max=100)


async def stay(gate: Gate, leave: asyncio.Event, *, size: int = 10) -> None:
    async with gate.passed(size):
        await leave.wait()


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_so_many_stand_inside_at_once_and_the_next_comes_in_when_one_leaves() -> None:
    one, other = gate(), asyncio.Event()
    async with AsyncExitStack() as inside:
        first = await inside.enter_async_context(AsyncExitStack())
        await first.enter_async_context(one.passed(10))
        await inside.enter_async_context(one.passed(10))
        third = asyncio.create_task(stay(one, other))
        await turn()
        assert not third.done()

        await first.aclose()
        other.set()

        await third


async def test_line_that_is_full_sends_the_next_away() -> None:
    full, leave = gate(), asyncio.Event()
    those = [asyncio.create_task(stay(full, leave)) for _ in range(4)]
    await turn()

    with pytest.raises(
        StoreUnavailableError, match=r"2 keyed appends are waiting .*LEDGER_KEYED_APPEND_QUEUE_MAX"
    ):
        await stay(full, leave)

    leave.set()
    await asyncio.gather(*those)
    await stay(full, leave)


async def test_line_that_holds_too_many_bytes_sends_the_next_away() -> None:
    heavy, leave = gate(), asyncio.Event()
    those = [asyncio.create_task(stay(heavy, leave, size=90)) for _ in range(3)]
    await turn()

    with pytest.raises(StoreUnavailableError, match=r"90 bytes of keyed .*LEDGER_APPEND_QUEUE_BYTES_MAX"):
        await stay(heavy, leave, size=11)

    leave.set()
    await asyncio.gather(*those)


async def test_one_that_gives_up_in_line_leaves_its_place() -> None:
    line, leave = gate(), asyncio.Event()
    those = [asyncio.create_task(stay(line, leave)) for _ in range(4)]
    await turn()

    those[2].cancel()
    await turn()
    those.append(asyncio.create_task(stay(line, leave)))
    await turn()

    leave.set()
    ends = await asyncio.gather(*those, return_exceptions=True)
    assert [type(end).__name__ for end in ends].count("CancelledError") == 1
    assert ends.count(None) == 4


async def test_closing_sends_the_line_away_and_waits_for_who_is_inside() -> None:
    closing, leave = gate(), asyncio.Event()
    those = [asyncio.create_task(stay(closing, leave)) for _ in range(4)]
    await turn()
    end = asyncio.create_task(closing.close())
    await turn()
    assert not end.done()

    leave.set()
    await end

    ends = await asyncio.gather(*those, return_exceptions=True)
    assert [isinstance(one, StoreUnavailableError) for one in ends] == [False, False, True, True]
    with pytest.raises(StoreUnavailableError, match="the store is closed"):
        await stay(closing, leave)
