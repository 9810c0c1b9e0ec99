"""A feed from the database to the tail: nothing is lost or doubled at the hand-over, and nothing piles up."""

import asyncio
import random
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from starlette.types import Message

from api.event_feed import EventFeed, EventFilter
from api.event_stream import EventStream
from api.places import Places
from api.tail import Tail
from ledger.bootstrap import Ledger
from ledger.payloads.opening import Opening
from tests.integration.given import CLIENT, fetch, opened, submitted

WRITERS = 4
ROUNDS = 40
INSERT = """
    INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at, actor,
                               correlation_id)
    SELECT $1, version, 'task.submitted', 1, 'stress', 'stress', '{}', now(), 'stress', 'stress'
      FROM generate_series($2::integer, $3::integer) AS version
"""
POSITIONS = "SELECT position FROM ledger.events WHERE position > $1 ORDER BY position"


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url, poll_interval_seconds=0.02) as ledger:
        yield ledger


async def test_feeds_see_every_event_once_and_in_order_while_writers_commit_late(
    ledger: Ledger, database_url: str
) -> None:
    chance = random.Random(7)  # noqa: S311 - when a reader is slow is up to it
    tail = Tail(ledger, kept_events_max=8)  # so few that every feed falls behind again and again
    await submitted(ledger, count=20)
    feeds = [EventFeed(ledger.database, tail, EventFilter(), after=after) for after in (0, 0, 5, 12)]
    seen: list[list[int]] = [[] for _ in feeds]
    ended = asyncio.Event()

    async def read_on(feed: EventFeed, positions: list[int]) -> None:
        while not ended.is_set() or positions[-1] < committed[-1]:
            events = await feed.next(seconds_max=0.05)
            positions.extend(event.position for event in events)
            for _ in range(chance.choice((0, 0, 30))):
                await asyncio.sleep(0)

    async with asyncio.timeout(20), tail.followed(), asyncio.TaskGroup() as group:
        for feed, positions in zip(feeds, seen, strict=True):
            group.create_task(read_on(feed, positions))
        await asyncio.gather(*(_write_late(database_url, seed) for seed in range(WRITERS)))
        committed = [row["position"] for row in await fetch(ledger, POSITIONS, 0)]
        ended.set()

    assert len(committed) > WRITERS * ROUNDS
    for feed_after, positions in zip((0, 0, 5, 12), seen, strict=True):
        assert positions == [position for position in committed if position > feed_after]


async def test_a_feed_of_one_task_changes_from_its_stream_to_the_tail_without_a_gap(ledger: Ledger) -> None:
    tail = Tail(ledger)
    (task_id,) = await submitted(ledger)
    feed = EventFeed(ledger.database, tail, EventFilter(task_id=task_id), after=0)

    async with tail.followed():
        versions = [event.version for event in await feed.next(seconds_max=5)]
        await ledger.commands.cancel(task_id, reason="", origin=CLIENT)
        await submitted(ledger)
        while len(versions) < 2:
            versions += [event.version for event in await feed.next(seconds_max=5)]

    assert versions == [1, 2]


async def test_a_client_that_takes_nothing_is_not_read_for(ledger: Ledger) -> None:
    tail = Tail(ledger, kept_events_max=8)
    await submitted(ledger, count=250)
    feed = EventFeed(ledger.database, tail, EventFilter(), after=0)
    stream = EventStream(
        feed,
        tail,
        Places(1, setting="LEDGER_STREAMS_MAX"),
        heartbeat_seconds=5,
        opening=Opening(ledger.vault),
    )
    client = _Client()

    serving = asyncio.create_task(stream({"type": "http"}, client.receive, client.send))
    await client.is_full.wait()
    read_for_it = feed.position
    client.may_take.set()
    await client.has_all.wait()
    client.may_go.set()
    await serving

    positions = [row["position"] for row in await fetch(ledger, POSITIONS, 0)]
    assert read_for_it == positions[99]  # a page
    assert client.ids == positions


async def _write_late(url: str, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same in every run
    connection = await asyncpg.connect(url)
    try:
        for _ in range(ROUNDS):
            async with connection.transaction():
                await connection.execute(INSERT, uuid4(), 1, chance.randint(1, 3))
                await connection.execute("SELECT pg_sleep($1)", chance.uniform(0.0, 0.02))
                await connection.execute(INSERT, uuid4(), 1, 1)
    finally:
        await connection.close()


class _Client:
    """The other side of an ASGI server whose buffers are full with the first event."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.is_full = asyncio.Event()
        self.may_take = asyncio.Event()
        self.has_all = asyncio.Event()
        self.may_go = asyncio.Event()

    async def receive(self) -> Message:
        await self.may_go.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        lines = bytes(message.get("body", b"")).decode().splitlines()
        ids = [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]
        if ids:
            self.is_full.set()
            await self.may_take.wait()
        self.ids += ids
        if len(self.ids) >= 250:
            self.has_all.set()
