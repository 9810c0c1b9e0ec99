"""Least privilege: the projector's role may make and fold, rebuild and verify; the API's role may read."""

from collections.abc import AsyncIterator
from secrets import token_hex
from urllib.parse import urlsplit, urlunsplit

import pytest

from ledger.bootstrap import Ledger
from projections.catalogue import Catalogue
from projections.conductor import Conductor
from projections.projector import Projector
from projections.rebuild import rebuild
from projections.runs import Act, Runs, RunState
from projections.standing import read_standing
from projections.task_status import TASK_STATUS
from projections.verify import verify
from tests.integration.given import CLIENT, execute, fetch, opened, submitted
from tests.integration.lives import live_through


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        yield ledger


async def test_projectors_role_may_do_all_of_it_and_the_apis_role_may_read(
    ledger: Ledger, database_url: str
) -> None:
    await live_through(ledger, 5)
    await rebuild(ledger, TASK_STATUS)  # by the owner of the database
    projector_url, api_url = await _login(ledger, database_url, "ledger_projector", "ledger_api")

    async with opened(projector_url) as projector, opened(api_url) as api:
        await submitted(ledger)
        assert await Projector(projector, [TASK_STATUS]).run_once() == 1
        await rebuild(projector, TASK_STATUS)
        assert await verify(projector, TASK_STATUS) == []
        run = await Runs(api).request(TASK_STATUS, Act.RESET, reason="", origin=CLIENT)
        assert await Conductor(projector, Catalogue()).run_once() == 1
        assert (await Runs(api).read(run.run_id)).state is RunState.SUCCEEDED
        assert (await read_standing(api, TASK_STATUS)).halt is None
        assert len(await fetch(api, "SELECT status FROM projections.task_status")) == 6
        await rebuild(ledger, TASK_STATUS)
        await submitted(ledger)
        assert await Projector(projector, [TASK_STATUS]).run_once() == 1

    await _forget(ledger, projector_url, api_url)


async def _login(ledger: Ledger, database_url: str, *roles: str) -> list[str]:
    parts = urlsplit(database_url)
    urls = []
    for role in roles:
        name, password = f"test_{token_hex(6)}", token_hex(8)
        await execute(ledger, f"CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE {role}")
        urls.append(urlunsplit(parts._replace(netloc=f"{name}:{password}@{parts.hostname}:{parts.port}")))
    return urls


async def _forget(ledger: Ledger, *urls: str) -> None:
    for url in urls:
        name = urlsplit(url).username
        await execute(ledger, f"DROP OWNED BY {name}")
        await execute(ledger, f"DROP ROLE {name}")
