"""The settings: the seed's names, a sentence for every refusal, and secrets that stay secret."""

import re
from pathlib import Path

import pytest

from ledger.errors import ConfigurationError
from ledger.settings import Settings, environment_name, load_settings, masked_url

NUMBERS = [name for name, field in Settings.model_fields.items() if field.annotation in (int, float)]
HIDDEN = "not-to-be-shown"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for field in Settings.model_fields:
        monkeypatch.delenv(environment_name(field), raising=False)


def test_the_names_of_the_seed_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://u:p@h/db?sslmode=disable")
    monkeypatch.setenv("RABBITMQ_URL", "amqp://guest:guest@h:5672/")
    monkeypatch.setenv("PORT", "9090")
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://a.example, https://b.example")

    settings = load_settings()

    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgres://u:p@h/db?sslmode=disable"
    assert settings.rabbitmq_url is not None
    assert settings.port == 9090
    assert settings.allowed_origins == ("https://a.example", "https://b.example")


def test_the_dot_env_file_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PORT=7000\nLEDGER_LEASE_SECONDS=60\n")
    monkeypatch.setenv("PORT", "7001")

    settings = load_settings()

    assert (settings.port, settings.lease_seconds) == (7001, 60.0)


def test_an_option_wins_over_the_environment_unless_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "7001")

    assert load_settings(port=1).port == 1
    assert load_settings(port=None).port == 7001


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LEDGER_LEASE_SECONDS", "2", "LEDGER_LEASE_SECONDS must be at least 5"),
        ("LEDGER_PAGE_SIZE_MAX", "99999999", "LEDGER_PAGE_SIZE_MAX must be at most 10000, got 99999999"),
        ("PORT", "many", "PORT is not valid"),
        ("LEDGER_LOG_FORMAT", "xml", "LEDGER_LOG_FORMAT is not valid"),
        ("DATABASE_URL", f"mysql://u:{HIDDEN}@h/db", "DATABASE_URL must be a URL that starts with postgres://"),
        ("LEDGER_PAYLOAD_SECRET", HIDDEN, "LEDGER_PAYLOAD_SECRET must be secrets of at least 32 characters each"),
        ("RABBITMQ_URL", f"http://u:{HIDDEN}@h/", "RABBITMQ_URL must be a URL that starts with amqp://"),
    ],
)
def test_a_refused_value_is_named_with_its_bound_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=sentence) as refused:
        load_settings()

    assert HIDDEN not in str(refused.value)
    assert HIDDEN not in str(refused.value.__cause__)


def test_no_secret_is_in_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgres://user:{HIDDEN}@h:5432/db")
    monkeypatch.setenv("RABBITMQ_URL", f"amqp://user:{HIDDEN}@h/")
    monkeypatch.setenv("LEDGER_PAYLOAD_SECRET", HIDDEN * 8)

    settings = load_settings()

    assert HIDDEN not in repr(settings)
    assert HIDDEN not in str(settings.masked())
    assert settings.masked()["database_url"] == "postgres://user:***@h:5432/db"


@pytest.mark.parametrize("url", ["postgres://h/db", "postgres:///db?host=/run/postgresql", "amqp://guest@h/%2F"])
def test_a_url_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert masked_url(url) == url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://u:not@to@be@h/db", "postgres://u:***@h/db"),
        ("postgres://:hidden@h/db", "postgres://:***@h/db"),
        ("postgres://h/db?user=u&password=hidden&x=1", "postgres://h/db?user=u&password=***&x=1"),
        (
            "postgres://u:hidden@h/db?PASSWORD=a&sslpassword=b",
            "postgres://u:***@h/db?PASSWORD=***&sslpassword=***",
        ),
        ("postgres://u:hidden@[::1/db", "***"),
    ],
)
def test_a_password_is_masked_wherever_it_stands(url: str, shown: str) -> None:
    assert masked_url(url) == shown


def test_a_dot_env_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PORT=\xff\xfe\n")

    with pytest.raises(ConfigurationError, match=r"the file \.env cannot be read"):
        load_settings()


@pytest.mark.parametrize("field", NUMBERS)
def test_every_number_has_bounds_and_its_refusal_names_variable_bound_and_value(
    monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    variable = environment_name(field)

    for value, words in (("-1e9", "at least"), ("1e18", "at most")):
        number = value if Settings.model_fields[field].annotation is float else str(int(float(value)))
        monkeypatch.setenv(variable, number)

        with pytest.raises(ConfigurationError) as refused:
            load_settings()

        assert re.search(rf"^{variable} must be {words} [\d.]+, got {re.escape(number)}$", str(refused.value))
