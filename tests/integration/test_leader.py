"""One process leads a role, and no longer than the session that holds the lead."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from ledger.bootstrap import Ledger
from ledger.checkpoint import Checkpoint
from ledger.errors import LeadershipLostError, StoreUnavailableError
from ledger.leader import leading, still_leads, together, while_leading
from tests.integration.given import execute, opened


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


class Work:
    """Endless work that tells when it began and whether it was cancelled."""

    def __init__(self) -> None:
        self.began: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.was_cancelled = False

    async def do(self, connection: asyncpg.Connection) -> None:
        """Work until cancelled."""
        self.began.set_result(connection.get_server_pid())
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


async def test_the_work_of_a_leader_ends_with_its_session(ledger: Ledger) -> None:
    work = Work()
    leader = asyncio.create_task(while_leading(ledger.database, "role", work.do))
    await execute(ledger, "SELECT pg_terminate_backend($1)", await work.began)

    with pytest.raises(LeadershipLostError):
        await asyncio.wait_for(leader, 10)

    assert work.was_cancelled


async def test_who_stands_by_works_when_the_leader_has_ended(ledger: Ledger) -> None:
    first, second = Work(), Work()
    leader = asyncio.create_task(while_leading(ledger.database, "role", first.do))
    await first.began
    standby = asyncio.create_task(while_leading(ledger.database, "role", second.do))
    async with leading(ledger.database, "role") as connection:
        assert connection is None

    leader.cancel()
    await asyncio.wait_for(second.began, 10)
    standby.cancel()
    await asyncio.wait([leader, standby])

    assert first.was_cancelled
    assert second.was_cancelled


async def test_roles_are_led_apart(ledger: Ledger) -> None:
    async with leading(ledger.database, "one") as first, leading(ledger.database, "other") as second:
        assert first is not None
        assert second is not None


async def test_a_lost_session_is_noticed_by_asking(ledger: Ledger) -> None:
    async with leading(ledger.database, "role") as connection:
        assert connection is not None
        await still_leads(connection)
        await execute(ledger, "SELECT pg_terminate_backend($1)", connection.get_server_pid())

        with pytest.raises(StoreUnavailableError):
            await still_leads(connection)


async def test_a_checkpoint_moves_only_from_where_it_was_read(ledger: Ledger) -> None:
    async with ledger.database.connection() as connection:
        mine = await Checkpoint.read(connection, "reader")
        theirs = await Checkpoint.read(connection, "reader")
        await mine.advance(10)

        with pytest.raises(LeadershipLostError):
            await theirs.advance(5)

        assert (await Checkpoint.read(connection, "reader")).position == 10


async def test_the_first_loop_that_fails_ends_the_others() -> None:
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def failing() -> None:
        raise LeadershipLostError("role")

    with pytest.raises(LeadershipLostError):
        await together(endless(), failing())

    assert ended.is_set()
