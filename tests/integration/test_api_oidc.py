"""Callers with a token of an OpenID Connect provider: it is signed here, and the keys are served over HTTP."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from api.server import serving
from ledger.bootstrap import Ledger
from ledger.settings import load_settings
from tests.integration.api_given import assert_problem, opened_api
from tests.integration.given import fetch

Signed = Callable[..., dict[str, str]]
ENDED_SECONDS_MAX = 5.0
_SKEW_SECONDS = 30


class Provider:
    """Publishes the key that it signs with."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.issuer = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the discovery and the set of keys."""
        if scope["path"].endswith("openid-configuration"):
            answer = JSONResponse({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"})
        else:
            key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.private.public_key()))
            answer = JSONResponse({"keys": [{**key, "kid": "one", "use": "sig", "alg": "ES256"}]})
        await answer(scope, receive, send)

    def header(self, **claims: object) -> dict[str, str]:
        """Return the header with a token that has these claims on top of good ones."""
        good = {
            "iss": self.issuer, "aud": "ledger", "sub": "ann", "exp": time.time() + 600,
            "scope": "openid taskledger:submit",
        }  # fmt: skip
        token = jwt.encode({**good, **claims}, self.private, algorithm="ES256", headers={"kid": "one"})
        return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    async with serving(provider, load_settings(port=0)) as port:
        provider.issuer = f"http://127.0.0.1:{port}"
        yield provider


@pytest.fixture
async def api(database_url: str, provider: Provider) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    async with opened_api(database_url, oidc_issuer=provider.issuer, oidc_audience="ledger") as api:
        yield api


async def test_a_good_token_acts_as_its_subject_within_its_scopes(
    api: tuple[Ledger, httpx.AsyncClient], provider: Provider
) -> None:
    ledger, client = api
    submitted = await client.post("/tasks", json={"input": 1}, headers=provider.header())
    read = await client.get("/tasks", headers=provider.header())
    nobody = await client.get("/tasks")

    assert submitted.status_code == 202
    assert_problem(read, 403, "This needs the scope read, and the key has submit")
    assert_problem(nobody, 401, "An API key is needed")
    assert [row["actor"] for row in await fetch(ledger, "SELECT actor FROM ledger.events")] == ["user:ann"]


async def test_a_token_that_is_not_to_be_believed_lets_nobody_in(
    api: tuple[Ledger, httpx.AsyncClient], provider: Provider
) -> None:
    other = Provider()
    other.issuer = provider.issuer
    unsigned = jwt.encode({"sub": "ann", "aud": "ledger", "iss": provider.issuer}, "", algorithm="none")
    refused = [
        provider.header(exp=time.time() - 600),
        provider.header(aud="another"),
        provider.header(iss="https://evil.example"),
        provider.header(sub="a\nb"),
        other.header(),
        {"Authorization": f"Bearer {unsigned}"},
        {"Authorization": "Bearer a.b.c"},
    ]

    answers = await asyncio.gather(*(api[1].post("/tasks", json={"input": 1}, headers=one) for one in refused))

    assert [answer.status_code for answer in answers] == [401] * len(refused)


async def test_a_stream_ends_with_the_token_that_opened_it(
    api: tuple[Ledger, httpx.AsyncClient], provider: Provider
) -> None:
    _, client = api
    nearly_over = provider.header(exp=time.time() - _SKEW_SECONDS + 1, scope="taskledger:read")

    async with asyncio.timeout(ENDED_SECONDS_MAX):
        streamed = await client.get("/events/stream", headers=nearly_over)

    assert streamed.status_code == 200
    assert "event: closed" in streamed.text
