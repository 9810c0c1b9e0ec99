"""The outlook wakes the chores that have something to do, and at rest none."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest

from ledger.bootstrap import Ledger
from ledger.outlook import Outlook
from tests.integration.given import caught_up, execute, opened, running, submitted

CHORES = ("release", "admit", "schedules", "bulk_acts", "erase", "webhooks", "follow_ups")


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url, scheduler_interval_seconds=0.05) as ledger:
        yield ledger


async def test_only_the_chore_that_has_something_to_do_is_woken(ledger: Ledger) -> None:
    await _made(ledger)
    outlook = Outlook(ledger)
    waits = {chore: asyncio.create_task(outlook.until_wanted(chore)) for chore in CHORES}

    async with running(outlook.run()):
        await execute(ledger, "UPDATE projections.task_status SET release_at = now(), ready = false, hold = NULL")
        await waits["release"]
        await outlook.until_wanted("release")

    assert {chore for chore, wait in waits.items() if wait.done()} == {"release", "follow_ups"}
    await _dropped(waits.values())


async def test_an_append_wakes_whoever_waits_for_it_before_the_next_look(ledger: Ledger) -> None:
    outlook = Outlook(ledger)

    async with ledger.store.appends() as signal:
        await signal.wait(1.0)  # it fires once as it begins
        wait = asyncio.create_task(outlook.until_wanted_or_appended("follow_ups", signal))
        await submitted(ledger)

        await wait


async def test_where_the_outlook_cannot_look_every_chore_sees_for_itself(ledger: Ledger) -> None:
    outlook = Outlook(ledger)  # there is no read model yet

    async with running(outlook.run()):
        await asyncio.gather(*(outlook.until_wanted(chore) for chore in CHORES))


async def _made(ledger: Ledger) -> None:
    await submitted(ledger)
    await caught_up(ledger)


async def _dropped(waits: Iterable["asyncio.Task[None]"]) -> None:
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
