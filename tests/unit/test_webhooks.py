"""Webhooks without I/O: signatures, when something is tried again, and where nothing may be sent to."""

import base64
import hashlib
import hmac
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from ledger.errors import InvalidValueError
from ledger.history.search import EventFilter
from ledger.settings import Settings
from ledger.webhooks.address import resolved
from ledger.webhooks.endpoint import WebhookDefinition, WebhookState, check_definition
from ledger.webhooks.errors import WebhookAddressError, WebhookSignatureError
from ledger.webhooks.retry import Answer, Setback, retry_after_seconds, setback_of
from ledger.webhooks.signature import generate_secret, sign, verify

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OTHER = "whsec_" + base64.b64encode(KEY[::-1]).decode()
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BODY = b'{"a":1}'


def headers(signature: str, *, timestamp: str = "1700000000") -> dict[str, str]:
    return {"Webhook-Id": "t:1", "Webhook-Timestamp": timestamp, "Webhook-Signature": signature}


def test_a_signature_is_the_hmac_of_id_timestamp_and_body() -> None:
    expected = base64.b64encode(hmac.digest(KEY, b't:1.1700000000.{"a":1}', hashlib.sha256)).decode()

    assert sign("t:1", 1_700_000_000, BODY, [SECRET]) == f"v1,{expected}"
    assert (
        verify(headers(f"v1a,other v1,{expected}"), BODY, [generate_secret(), SECRET], now=1_700_000_100) == "t:1"
    )


@pytest.mark.parametrize(
    ("body", "secret", "timestamp", "now"),
    [
        (b'{"a":2}', SECRET, "1700000000", 1_700_000_000),
        (BODY, OTHER, "1700000000", 1_700_000_000),
        (BODY, SECRET, "1700000001", 1_700_000_000),
        (BODY, SECRET, "1700000000", 1_700_000_301),
        (BODY, SECRET, "1700000000", 1_699_999_699),
        (BODY, SECRET, "now", 1_700_000_000),
        (BODY, SECRET, "", 1_700_000_000),
    ],
)
def test_what_was_altered_or_is_old_is_refused(body: bytes, secret: str, timestamp: str, now: float) -> None:
    signature = sign("t:1", 1_700_000_000, BODY, [SECRET])

    with pytest.raises(WebhookSignatureError):
        verify(headers(signature, timestamp=timestamp), body, [secret], now=now)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_short", "whsec_****", SECRET.removeprefix("whsec_")])
def test_what_is_no_secret_is_refused_without_repeating_it(secret: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        sign("t:1", 1, BODY, [secret])

    assert len(secret) < 10 or secret not in str(refused.value)


def test_backoff_doubles_under_full_jitter_up_to_its_cap() -> None:
    settings = Settings(webhook_retry_base_seconds=1, webhook_retry_cap_seconds=30)
    drawn = [(0.0, 1.0), (0.0, 2.0), (0.0, 4.0), (0.0, 8.0), (0.0, 16.0), (0.0, 30.0)]
    asked: list[tuple[float, float]] = []

    def jitter(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    for failures in range(1, 7):
        setback_of(Answer(status=500), failures=failures, settings=settings, now=NOW, jitter=jitter)

    assert asked == drawn


def test_retry_after_is_honoured_within_its_bound_where_it_means_something() -> None:
    settings = Settings(webhook_retry_after_seconds_max=60)

    def wait(status: int, text: str) -> float:
        answer = Answer(status=status, retry_after=text)
        return setback_of(answer, failures=1, settings=settings, now=NOW, jitter=lambda *_: 0.5).wait_seconds

    assert [wait(429, "20"), wait(503, "999999999999"), wait(500, "20"), wait(503, "soon")] == [20, 60, 0.5, 0.5]
    assert retry_after_seconds("Fri, 02 Jan 2026 03:04:35 GMT", now=NOW) == 30


def test_gone_pauses_at_once_and_the_last_try_makes_it_failing() -> None:
    settings = Settings(webhook_tries_max=3)

    gone = setback_of(Answer(status=410), failures=1, settings=settings, now=NOW)
    last: Setback = setback_of(Answer(error="no route"), failures=3, settings=settings, now=NOW)

    assert gone.state is WebhookState.PAUSED
    assert last.state is WebhookState.FAILING
    assert "no route" in last.reason


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.org", "ftp://example.org/", "file:///etc/passwd", "https://", "https:///path"),
        *("https://user:secret@example.org/", "https://example.org/#part", "https://exa mple.org/"),
        *("http://example.org:25/", "http://example.org:0/", "http://example.org:65536/", "http://example.org:x/"),
        *("http://127.0.0.1/", "http://10.1.2.3:8080/", "http://169.254.169.254/latest", "http://[::1]:8080/"),
        *("http://[::ffff:127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://0.0.0.0/"),
        *("http://100.64.0.1/", "http://224.0.0.1/", f"https://example.org/{'a' * 2000}"),
    ],
)
def test_a_url_that_nothing_may_be_sent_to_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        check_definition(WebhookDefinition(url=url), allow_private=False)

    assert "secret" not in str(refused.value)


def test_public_urls_and_private_ones_where_they_are_allowed_pass() -> None:
    check_definition(WebhookDefinition(url="https://example.org:8443/a?b=c"), allow_private=False)
    check_definition(WebhookDefinition(url="http://[2606:4700::1111]/"), allow_private=False)
    check_definition(WebhookDefinition(url="http://127.0.0.1:8080/"), allow_private=True)


@pytest.mark.parametrize(
    "wanted",
    [
        *(EventFilter(types=["task.complete"]), EventFilter(types=[]), EventFilter(kind="no kind")),
        *(EventFilter(queue="No"), EventFilter(actor=""), EventFilter(correlation_id="a\0")),
    ],
)
def test_a_filter_that_could_find_nothing_is_refused(wanted: EventFilter) -> None:
    with pytest.raises(InvalidValueError):
        check_definition(WebhookDefinition(url="https://example.org/", wanted=wanted), allow_private=False)


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f000001", "2130706433", "::1"])
async def test_a_host_is_judged_by_the_address_that_it_resolves_to(host: str) -> None:
    with ThreadPoolExecutor(1) as resolvers:
        with pytest.raises(WebhookAddressError):
            await resolved(host, 80, allow_private=False, resolvers=resolvers)

        assert await resolved(host, 80, allow_private=True, resolvers=resolvers) in {"127.0.0.1", "::1"}
