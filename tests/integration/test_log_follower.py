"""The follower of the log: it sees every event once, woken by appends, through outages and open transactions."""

import asyncio
from contextlib import aclosing
from uuid import UUID, uuid4

from ledger.history.follower import follow
from ledger.history.search import EventFilter
from ledger.migrate import migrate
from ledger.store.records import NewEvent, Origin
from tests.integration.given import opened, submitted
from tests.services.postgres import run_apart
from tests.services.private_postgres import PrivatePostgres


async def test_follower_is_woken_by_an_append_long_before_it_would_look_again(database_url: str) -> None:
    async with opened(database_url, poll_interval_seconds=60) as ledger:
        (first,) = await submitted(ledger)
        async with aclosing(follow(ledger, EventFilter(), after=0)) as pages, asyncio.timeout(20):
            before = await anext(pages)
            waiting = asyncio.create_task(anext(pages))
            (second,) = await submitted(ledger)
            after = await waiting

    assert [event.task_id for event in (*before, *after)] == [first, second]


async def test_event_of_an_open_transaction_comes_before_those_that_overtook_it(database_url: str) -> None:
    async with (
        opened(database_url, poll_interval_seconds=0.05) as ledger,
        aclosing(follow(ledger, EventFilter(), after=0)) as pages,
        asyncio.timeout(20),
    ):
        waiting = asyncio.create_task(anext(pages))
        async with ledger.database.dedicated() as slow, slow.transaction():
            event = NewEvent("task.submitted", 1, "k", "q", "{}", ledger.clock.now(), Origin(actor="client"))
            await ledger.store.append(late := uuid4(), [event], expected_version=0, connection=slow)
            overtaking = await submitted(ledger, 3)
        seen = [event.task_id for event in await waiting]
        while len(seen) < 4:
            seen += [event.task_id for event in await anext(pages)]

    assert seen == [late, *overtaking]


async def test_follower_goes_on_after_the_database_was_away_and_skips_nothing(
    private_postgres: PrivatePostgres,
) -> None:
    run_apart(migrate(private_postgres.url))
    seen: list[UUID] = []
    async with (
        opened(private_postgres.url, poll_interval_seconds=0.05) as ledger,
        aclosing(follow(ledger, EventFilter(), after=0)) as pages,
        asyncio.timeout(60),
    ):
        submissions = await submitted(ledger, 2)
        while len(seen) < 2:
            seen += [event.task_id for event in await anext(pages)]
        waiting = asyncio.create_task(anext(pages))
        await asyncio.to_thread(private_postgres.stop)
        await asyncio.to_thread(private_postgres.start)
        async with opened(private_postgres.url) as another:
            submissions += await submitted(another, 2)
        seen += [event.task_id for event in await waiting]
        while len(seen) < 4:
            seen += [event.task_id for event in await anext(pages)]

    assert seen == submissions
