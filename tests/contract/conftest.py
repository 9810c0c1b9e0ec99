"""The adapters of the ports that more than one suite holds to their contract."""

from collections.abc import AsyncIterator

import pytest

from ledger.settings import load_settings
from ledger.store.connection import open_database
from ledger.store.memory import MemoryEventStore
from ledger.store.port import EventStore
from ledger.store.postgres import open_store


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[EventStore]:
    """An empty event store of each adapter."""
    if request.param == "memory":
        yield MemoryEventStore()
        return
    url = request.getfixturevalue("database_url")
    settings = load_settings(database_url=url)
    async with open_database(settings, url) as database, open_store(database, settings) as opened:
        yield opened
