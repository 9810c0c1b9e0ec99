"""What may be set for a queue: every bound is told with the setting's name, the bound and the value."""

import pytest

from api.queues import parse_settings
from ledger.errors import InvalidValueError
from ledger.queues.settings import QueueSettings, check_settings
from ledger.specification import check_queue_name

REFUSED = [
    (QueueSettings(concurrency_max=0), "concurrency_max must be between 1 and 1000000, got 0"),
    (QueueSettings(concurrency_max=1_000_001), "concurrency_max must be between 1 and 1000000, got 1000001"),
    (QueueSettings(key_concurrency_max=0), "key_concurrency_max must be between 1 and 1000000, got 0"),
    (QueueSettings(rate_max=0, rate_s=1), "rate_max must be between 1 and 100000, got 0"),
    (QueueSettings(rate_max=1, rate_s=0.01), "rate_s must be between 0.1 and 86400.0, got 0.01"),
    (QueueSettings(rate_max=1, rate_s=float("nan")), "rate_s must be between 0.1 and 86400.0, got nan"),
    (QueueSettings(rate_max=1), "rate_s must be given together with rate_max, got None"),
    (QueueSettings(rate_s=1), "rate_max must be given together with rate_s, got None"),
    (QueueSettings(key_rate_max=1), "key_rate_s must be given together with key_rate_max, got None"),
    (QueueSettings(key_rate_max=100_001, key_rate_s=1), "key_rate_max must be between 1 and 100000, got 100001"),
    (QueueSettings(weights={"a": 0.001}), "weights.a must be between 0.01 and 1000.0, got 0.001"),
    (QueueSettings(weights={"": 1}), "a tenant of weights must be 1 to 93 characters"),
    (QueueSettings(weights={"a\0": 1}), "a tenant of weights must be 1 to 93 characters"),
    (QueueSettings(weights={"\ud800": 1}), "a tenant of weights must be 1 to 93 characters"),
    (QueueSettings(weights={str(n): 1 for n in range(1001)}), "weights must be of at most 1000 tenants, got 1001"),
]


@pytest.mark.parametrize(("settings", "sentence"), REFUSED)
def test_a_setting_out_of_its_bound_is_refused(settings: QueueSettings, sentence: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        check_settings(settings)

    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    "settings",
    [
        QueueSettings(),
        QueueSettings(concurrency_max=1, key_concurrency_max=1_000_000, fair=True),
        QueueSettings(rate_max=100_000, rate_s=0.1, key_rate_max=1, key_rate_s=86_400),
        QueueSettings(weights={"a" * 93: 0.01, "b": 1000}),
    ],
)
def test_a_setting_at_its_bound_is_taken(settings: QueueSettings) -> None:
    check_settings(settings)


@pytest.mark.parametrize("name", ["", "Mail", "a b", "a.b", "mail\n", "x" * 65])
def test_a_name_that_no_queue_can_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidValueError, match="queue must be 1 to 64 characters"):
        check_queue_name(name)


def test_words_of_the_command_line_are_the_settings_of_the_api() -> None:
    words = ["concurrency_max=3", "rate_max=10", "rate_s=1.5", "fair=true", "weights.acme=2", "weights.a=b=0.5"]

    assert parse_settings(words) == QueueSettings(
        concurrency_max=3, rate_max=10, rate_s=1.5, fair=True, weights={"acme": 2, "a=b": 0.5}
    )


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("concurrency_max=many", "concurrency_max must be an integer, got 'many'"),
        ("rate_s=", "rate_s must be a number of seconds, got ''"),
        ("fair=yes", "fair must be true or false, got 'yes'"),
        ("weights.acme=x", "weights.acme must be a number, got 'x'"),
        ("concurrency=3", "a setting must be SETTING=VALUE with one of concurrency_max, "),
        ("fair", "a setting must be SETTING=VALUE"),
    ],
)
def test_a_word_that_is_no_setting_is_refused(word: str, sentence: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        parse_settings([word])

    assert str(refused.value).startswith(sentence)
