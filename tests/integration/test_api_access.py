"""Who is let in: everybody while there is no key, and the holders of good keys from the first one on."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from api.exposure import access_of
from ledger.access.api_key import ApiKey, Scope
from ledger.access.commands import create_key, list_keys, revoke_key, rotate_key
from ledger.bootstrap import Ledger
from ledger.errors import ApiKeyNotFoundError, ApiKeyStateError, ConfigurationError, InvalidValueError
from tests.integration.api_given import assert_problem, client_of, opened_api, submitted
from tests.integration.given import execute, fetch

ADMIN_KEY = "an-admin-key-of-at-least-32-characters"


async def made(ledger: Ledger, name: str = "shop", *scopes: Scope, rate_max: int | None = None) -> dict[str, str]:
    """Make a key and return the header that presents it."""
    key = ApiKey(name=name, scopes=frozenset(scopes or (Scope.READ, Scope.SUBMIT)), rate_max=rate_max)
    return bearer(await create_key(ledger.database, key, actor="cli:test"))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_without_a_key_everybody_may_do_everything(api: tuple[Ledger, httpx.AsyncClient]) -> None:
    ledger, client = api

    task_id = await submitted(client)

    assert [row["actor"] for row in await fetch(ledger, "SELECT actor FROM ledger.events")] == ["client"]
    assert (await client.post(f"/tasks/{task_id}/cancel")).status_code == 202


async def test_from_the_first_key_on_a_good_key_is_needed(ledger: Ledger) -> None:
    key = await made(ledger)
    async with client_of(ledger) as client:
        nobody = await client.get("/tasks")
        wrong = await client.get("/tasks", headers=bearer("tl_wrong"))
        other = await client.get("/tasks", headers={"Authorization": "Basic eDp5"})
        holder = await client.post("/tasks", json={"input": 1}, headers=key)
        alive = await client.get("/health")

    assert_problem(nobody, 401, "An API key is needed")
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    assert_problem(wrong, 401, "The API key is not known")
    assert_problem(other, 401, "An API key is needed")
    assert holder.status_code == 202
    assert alive.status_code == 200
    assert [row["actor"] for row in await fetch(ledger, "SELECT actor FROM ledger.events")] == ["key:shop"]


async def test_a_key_may_do_what_its_scopes_say_and_an_admin_everything(ledger: Ledger) -> None:
    reader = await made(ledger, "reader", Scope.READ)
    admin = await made(ledger, "admin", Scope.ADMIN)
    async with client_of(ledger) as client:
        refused = await client.post("/tasks", json={"input": 1}, headers=reader)
        paused = await client.post("/queues/mail/pause", headers=reader)
        allowed = await client.post("/queues/mail/pause", headers=admin)

    assert_problem(refused, 403, "This needs the scope submit, and the key has read")
    assert refused.json()["scope"] == "submit"
    assert_problem(paused, 403, "This needs the scope operate")
    assert allowed.status_code == 200
    assert await fetch(ledger, "SELECT FROM ledger.events") == []


async def test_after_a_rotation_both_secrets_are_good_for_a_while_then_only_the_new_one(ledger: Ledger) -> None:
    old = await made(ledger)
    new = bearer(await rotate_key(ledger.database, "shop", overlap_seconds=60, actor="cli:test"))
    async with client_of(ledger) as client:
        during = [(await client.get("/tasks", headers=key)).status_code for key in (old, new)]
    await execute(ledger, "UPDATE ledger.api_keys SET previous_until = clock_timestamp()")

    async with client_of(ledger) as client:
        after = [(await client.get("/tasks", headers=key)).status_code for key in (old, new)]

    assert (during, after) == ([200, 200], [401, 200])


async def test_a_revoked_key_lets_nobody_in_and_leaves_the_door_shut(ledger: Ledger) -> None:
    key = await made(ledger)
    await revoke_key(ledger.database, "shop", actor="cli:test", reason="left the company")

    async with client_of(ledger) as client:
        assert_problem(await client.get("/tasks", headers=key), 401, "The API key is not known, revoked or over")
        assert_problem(await client.get("/tasks"), 401, "An API key is needed")
    with pytest.raises(ApiKeyStateError, match="cannot rotate the API key 'shop': it is revoked"):
        await rotate_key(ledger.database, "shop", overlap_seconds=0, actor="cli:test")


async def test_a_key_that_is_over_lets_nobody_in(ledger: Ledger) -> None:
    over = ApiKey(name="old", scopes=frozenset({Scope.READ}), expires_at=datetime.now(UTC) - timedelta(seconds=1))
    token = await create_key(ledger.database, over, actor="cli:test")

    async with client_of(ledger) as client:
        assert_problem(await client.get("/tasks", headers=bearer(token)), 401, "The API key is not known")


async def test_a_key_is_answered_as_often_as_it_may_be_used(ledger: Ledger) -> None:
    key = await made(ledger, rate_max=1)
    async with client_of(ledger) as client:
        await client.get("/tasks", headers=key)
        second = await client.get("/tasks", headers=key)

    assert_problem(second, 429, "The API key may be used 1 times a second at most")
    assert second.headers["retry-after"] == "1"


async def test_two_callers_may_use_the_same_idempotency_key(ledger: Ledger) -> None:
    shop, mail = await made(ledger, "shop"), await made(ledger, "mail")
    async with client_of(ledger) as client:
        first, again, other = [
            await client.post("/tasks", json={"input": 1}, headers={**key, "Idempotency-Key": "order-7"})
            for key in (shop, shop, mail)
        ]

    assert first.json() == again.json()
    assert first.json() != other.json()


async def test_each_change_of_a_key_is_kept_and_no_secret_is(ledger: Ledger) -> None:
    token = (await made(ledger))["Authorization"].removeprefix("Bearer ")
    await rotate_key(ledger.database, "shop", overlap_seconds=0, actor="cli:a", reason="yearly")
    await revoke_key(ledger.database, "shop", actor="cli:b")

    rows = await fetch(ledger, "SELECT change, actor, reason FROM ledger.api_key_changes ORDER BY id")
    kept = str(await fetch(ledger, "SELECT row_to_json(k)::text FROM ledger.api_keys AS k"))

    assert [tuple(row) for row in rows] == [
        ("created", "cli:test", ""), ("rotated", "cli:a", "yearly"), ("revoked", "cli:b", ""),
    ]  # fmt: skip
    assert token not in kept


async def test_what_is_wrong_with_a_key_is_said(ledger: Ledger) -> None:
    await made(ledger)

    with pytest.raises(ApiKeyStateError, match="cannot create the API key 'shop': there is, or was, one"):
        await made(ledger)
    with pytest.raises(InvalidValueError, match="name must be 1 to 63 letters"):
        await made(ledger, "a b")
    with pytest.raises(InvalidValueError, match="rate_max must be between 1 and 1000000, got 0"):
        await made(ledger, "other", rate_max=0)
    with pytest.raises(ApiKeyNotFoundError, match="there is no API key 'nobody'"):
        await revoke_key(ledger.database, "nobody", actor="cli:test")
    assert [key.name for key in await list_keys(ledger.database)] == ["shop"]


async def test_the_key_of_the_environment_may_do_everything_and_shuts_the_door(database_url: str) -> None:
    async with opened_api(database_url, admin_key=ADMIN_KEY) as (ledger, client):
        nobody = await client.get("/tasks")
        admin = await client.post("/tasks", json={"input": 1}, headers=bearer(ADMIN_KEY))
        actors = [row["actor"] for row in await fetch(ledger, "SELECT actor FROM ledger.events")]

    assert_problem(nobody, 401, "An API key is needed")
    assert admin.status_code == 202
    assert actors == ["key:LEDGER_ADMIN_KEY"]


async def test_a_change_that_a_browser_sends_for_a_foreign_page_is_refused(
    api: tuple[Ledger, httpx.AsyncClient],
) -> None:
    ledger, client = api
    answers = {
        origin: await client.post("/tasks", json={"input": 1}, headers={"Origin": origin})
        for origin in ("https://evil.example", "null", "http://ledger", "http://localhost:3000")
    }

    assert {origin: answer.status_code for origin, answer in answers.items()} == {
        "https://evil.example": 403, "null": 403, "http://ledger": 202, "http://localhost:3000": 202,
    }  # fmt: skip
    assert_problem(answers["null"], 403, "Refused: the Origin of a change must be ours")
    assert len(await fetch(ledger, "SELECT FROM ledger.events")) == 2


async def test_on_a_loopback_address_without_keys_only_names_of_this_machine_are_answered(
    ledger: Ledger,
) -> None:
    async with client_of(ledger, access=await access_of(ledger)) as client:
        rebound = await client.get("/tasks", headers={"Host": "evil.example"})
        local = await client.get("/tasks", headers={"Host": "127.0.0.1:8080"})
        key = await made(ledger)
    async with client_of(ledger, access=await access_of(ledger)) as client:
        behind_a_proxy = await client.get("/tasks", headers={"Host": "ledger.example", **key})

    assert_problem(rebound, 403, "Refused: the Host of a request must be this machine's")
    assert (local.status_code, behind_a_proxy.status_code) == (200, 200)


async def test_others_are_let_in_without_a_key_only_when_somebody_says_so(database_url: str) -> None:
    async with opened_api(database_url, host="0.0.0.0") as (ledger, _):  # noqa: S104 - not bound
        with pytest.raises(ConfigurationError, match=r"LEDGER_HOST must be a loopback address .* got '0.0.0.0'"):
            await access_of(ledger)
        await made(ledger)

        assert not await (await access_of(ledger)).is_open()
    async with opened_api(database_url, host="0.0.0.0", allow_open=True) as (ledger, _):  # noqa: S104 - not bound
        await access_of(ledger)


async def test_the_document_says_which_scope_each_request_needs(api: tuple[Ledger, httpx.AsyncClient]) -> None:
    document = (await api[1].get("/openapi.json")).json()

    assert document["paths"]["/tasks"]["post"]["x-scope"] == "submit"
    assert {"401", "403", "429"} <= set(document["paths"]["/queues/{name}/pause"]["post"]["responses"])
    assert "security" not in document["paths"]["/health"]["get"]
