"""What tests of the HTTP API begin with; a file with other settings, or without an API, has fixtures itself."""

from collections.abc import AsyncIterator

import httpx
import pytest

from ledger.bootstrap import Ledger
from tests.integration.api_given import opened_api


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    """Open a ledger, and a client of the API on it."""
    async with opened_api(database_url) as api:
        yield api


@pytest.fixture
def ledger(api: tuple[Ledger, httpx.AsyncClient]) -> Ledger:
    """The ledger of the API."""
    return api[0]


@pytest.fixture
def client(api: tuple[Ledger, httpx.AsyncClient]) -> httpx.AsyncClient:
    """The client of the API."""
    return api[1]
