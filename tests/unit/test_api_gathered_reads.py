"""Gathered reads: few queries for many readers, none older than its question, and no reader spoils another's."""

import asyncio
from collections.abc import Sequence

import pytest

from api.gathered_reads import GatheredReads


class Source:
    """Holds every query until the test lets it go on, and then answers with the keys in capitals."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.may_answer = asyncio.Event()
        self.error: Exception | None = None

    async def read(self, keys: Sequence[str]) -> dict[str, str]:
        """Answer one query; a key that begins with x has no value."""
        self.asked.append(list(keys))
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return {key: key.upper() for key in keys if not key.startswith("x")}


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def reads(source: Source) -> GatheredReads[str, str]:
    return GatheredReads(source.read, lanes_max=1, batch_size_max=3)


async def _turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_asked_during_a_query_goes_out_together_as_the_next(
    source: Source, reads: GatheredReads[str, str]
) -> None:
    first = asyncio.create_task(reads.find("a"))
    await _turn()
    others = [asyncio.create_task(reads.find(key)) for key in ("b", "x", "b", "c", "d")]
    await _turn()

    source.may_answer.set()

    assert await first == "A"
    assert await asyncio.gather(*others) == ["B", None, "B", "C", "D"]
    assert source.asked == [["a"], ["b", "x", "c"], ["d"]]


async def test_a_read_never_joins_a_query_that_was_sent_before(
    source: Source, reads: GatheredReads[str, str]
) -> None:
    first = asyncio.create_task(reads.find("a"))
    await _turn()
    again = asyncio.create_task(reads.find("a"))
    await _turn()

    source.may_answer.set()

    assert (await first, await again) == ("A", "A")
    assert source.asked == [["a"], ["a"]]


async def test_a_reader_that_leaves_takes_nobodys_answer_with_it(
    source: Source, reads: GatheredReads[str, str]
) -> None:
    leaving, staying = asyncio.create_task(reads.find("a")), asyncio.create_task(reads.find("a"))
    await _turn()
    leaving.cancel()

    source.may_answer.set()

    assert await staying == "A"


async def test_an_error_is_everybodys_and_the_next_query_starts_afresh(
    source: Source, reads: GatheredReads[str, str]
) -> None:
    source.error = OSError("gone")
    source.may_answer.set()
    failed = await asyncio.gather(reads.find("a"), reads.find("b"), return_exceptions=True)

    assert [str(error) for error in failed] == ["gone", "gone"]
    assert source.asked == [["a", "b"]]
    source.error = None
    assert await reads.find("a") == "A"
