"""The dashboard's session: a cookie for the holder of a key, and a token that a foreign page cannot know."""

from collections.abc import AsyncIterator

import httpx
import pytest

from api.guard import FORM_TOKEN_HEADER, SESSION_COOKIE
from ledger.access.api_key import ApiKey, Scope
from ledger.access.commands import create_key, revoke_key
from ledger.access.sessions import form_token_of
from ledger.bootstrap import Ledger
from tests.integration.api_given import assert_problem, client_of, opened_api
from tests.integration.given import execute, fetch

PAGE = {"Accept": "text/html"}


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened_api(database_url) as (ledger, _):
        yield ledger


@pytest.fixture
async def token(ledger: Ledger) -> str:
    key = ApiKey(name="ann", scopes=frozenset({Scope.READ, Scope.OPERATE}))
    return await create_key(ledger.database, key, actor="cli:test")


@pytest.fixture
async def client(ledger: Ledger, token: str) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client after the key was made: an application believes what it read for a second."""
    assert token
    async with client_of(ledger) as client:
        yield client


async def log_in(client: httpx.AsyncClient, token: str, target: str = "/ui") -> httpx.Response:
    return await client.post("/ui/login", data={"key": token, "next": target})


async def test_a_page_leads_to_the_login_and_back(client: httpx.AsyncClient, token: str) -> None:
    page = await client.get("/ui", headers=PAGE)
    form = await client.get(page.headers["location"])
    answer = await log_in(client, token, "/ui?x=1")
    back = await client.get(answer.headers["location"], headers=PAGE)

    assert (page.status_code, page.headers["location"]) == (303, "/ui/login?next=%2Fui")
    assert 'name="next" value="/ui"' in form.text
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui?x=1")
    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/", "max-age=43200"))
    assert back.status_code == 200


async def test_a_wrong_key_opens_nothing(client: httpx.AsyncClient) -> None:
    answer = await log_in(client, "tl_wrong")

    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert "not known, revoked or over" in answer.text


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/ui/../..//evil", "/ui\\evil", "/tasks", ""]
)
async def test_a_login_never_leads_elsewhere(client: httpx.AsyncClient, token: str, target: str) -> None:
    answer = await log_in(client, token, target)

    assert answer.headers["location"].startswith("/ui")
    assert "evil.example" not in answer.headers["location"]


async def test_a_session_acts_as_its_key_within_its_scopes(
    ledger: Ledger, client: httpx.AsyncClient, token: str
) -> None:
    session = (await log_in(client, token)).cookies[SESSION_COOKIE]
    own_page = {FORM_TOKEN_HEADER: form_token_of(session)}
    paused = await client.post("/queues/mail/pause", headers=own_page)
    refused = await client.post("/tasks", json={"input": 1}, headers=own_page)

    assert paused.status_code == 200
    assert [row["actor"] for row in await fetch(ledger, "SELECT actor FROM ledger.queue_changes")] == ["key:ann"]
    assert_problem(refused, 403, "This needs the scope submit")


async def test_a_change_without_the_pages_token_is_refused(client: httpx.AsyncClient, token: str) -> None:
    await log_in(client, token)

    for headers in ({}, {FORM_TOKEN_HEADER: "0" * 64}):
        answer = await client.post("/queues/mail/pause", headers=headers)
        assert_problem(answer, 403, "Refused: a change in a session needs its page's token")


async def test_a_session_ends_by_logout_with_its_key_and_in_time(
    ledger: Ledger, client: httpx.AsyncClient, token: str
) -> None:
    sessions = []
    for _ in range(3):
        sessions.append((await log_in(client, token)).cookies[SESSION_COOKIE])
        client.cookies.clear()
    first, second, third = ({"Cookie": f"{SESSION_COOKIE}={session}"} for session in sessions)

    await client.post("/ui/logout", headers=first)
    await execute(
        ledger,
        "UPDATE ledger.sessions SET expires_at = clock_timestamp() "
        "WHERE created_at = (SELECT min(created_at) FROM ledger.sessions)",
    )
    by_logout, in_time, good = [
        (await client.get("/tasks", headers=one)).status_code for one in (first, second, third)
    ]
    await revoke_key(ledger.database, "ann", actor="cli:test")
    async with client_of(ledger) as later:
        with_its_key = (await later.get("/tasks", headers=third)).status_code

    assert (by_logout, in_time, good, with_its_key) == (401, 401, 200, 401)


async def test_a_page_counts_once_however_much_it_asks_for(ledger: Ledger) -> None:
    key = ApiKey(name="slow", scopes=frozenset({Scope.READ}), rate_max=1)
    header = {"Authorization": f"Bearer {await create_key(ledger.database, key, actor='cli:test')}"}
    async with client_of(ledger) as client:
        page = await client.get("/ui/queues", headers={**PAGE, **header})
        again = await client.get("/ui/queues", headers={**PAGE, **header})

    assert (page.status_code, again.status_code) == (200, 429)


async def test_the_database_keeps_no_cookie(ledger: Ledger, client: httpx.AsyncClient, token: str) -> None:
    session = (await log_in(client, token)).cookies[SESSION_COOKIE]

    rows = await fetch(ledger, "SELECT row_to_json(s)::text AS row FROM ledger.sessions AS s")

    assert len(rows) == 1
    assert session not in rows[0]["row"]
