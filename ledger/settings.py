"""The settings: read once from the environment and `.env`, checked, and handed down; nobody else reads them.

The seed's four names are kept as they are (DATABASE_URL, RABBITMQ_URL, PORT, ALLOWED_ORIGINS);
every other name starts with LEDGER_ and carries its unit.
"""

import os
import re
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ledger.errors import ConfigurationError

_POSTGRES_SCHEMES = ("postgres", "postgresql")
_BROKER_SCHEMES = ("amqp", "amqps")
_SECRET_CHARS_MIN = 32


def _url(value: SecretStr | None, *, schemes: tuple[str, ...]) -> SecretStr | None:
    if value is None or not value.get_secret_value():
        return None
    scheme = urlsplit(value.get_secret_value()).scheme
    if scheme not in schemes:
        message = f"must be a URL that starts with {' or '.join(f'{s}://' for s in schemes)}"
        raise ValueError(message)
    return value


def _comma_list(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _secrets_in(value: SecretStr) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.get_secret_value().split(",") if part.strip())


def _payload_secret(value: SecretStr | None) -> SecretStr | None:
    if value is None:
        return None
    secrets = _secrets_in(value)
    if not secrets or any(len(secret) < _SECRET_CHARS_MIN for secret in secrets):
        message = f"must be secrets of at least {_SECRET_CHARS_MIN} characters each, with commas between"
        raise ValueError(message)
    return value


def _default_data_dir() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "task-ledger"


PostgresUrl = Annotated[SecretStr | None, AfterValidator(partial(_url, schemes=_POSTGRES_SCHEMES))]
BrokerUrl = Annotated[SecretStr | None, AfterValidator(partial(_url, schemes=_BROKER_SCHEMES))]
PayloadSecret = Annotated[SecretStr | None, AfterValidator(_payload_secret)]
CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_list)]


class Settings(BaseSettings):
    """Every setting with its default, its unit and its bounds.

    Build it with `load_settings`, which turns a refused value into a sentence.
    """

    model_config = SettingsConfigDict(
        env_prefix="LEDGER_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True,
        populate_by_name=True, hide_input_in_errors=True,
    )  # fmt: skip

    database_url: PostgresUrl = Field(None, validation_alias=AliasChoices("database_url", "DATABASE_URL"))
    rabbitmq_url: BrokerUrl = Field(None, validation_alias=AliasChoices("rabbitmq_url", "RABBITMQ_URL"))
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535, validation_alias=AliasChoices("port", "PORT"))
    allowed_origins: CommaList = Field(
        ("http://localhost:3000", "http://127.0.0.1:3000"),
        validation_alias=AliasChoices("allowed_origins", "ALLOWED_ORIGINS"),
    )

    admin_key: SecretStr | None = Field(None, min_length=32, max_length=500)
    allow_open: bool = False
    oidc_issuer: str | None = Field(None, pattern=r"^https?://\S+$", max_length=2000)
    oidc_audience: str = Field("", max_length=500)
    oidc_jwks_url: str | None = Field(None, pattern=r"^https?://\S+$", max_length=2000)
    oidc_scope_claim: str = Field("scope", min_length=1, max_length=200)
    session_hours: float = Field(12.0, ge=0.1, le=8760)

    data_dir: Path = Field(default_factory=_default_data_dir)
    log_format: str = Field("console", pattern="^(console|json)$")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")
    metrics_host: str = Field("127.0.0.1", min_length=1, max_length=255)
    metrics_port: int = Field(0, ge=0, le=65535)
    metrics_cache_seconds: float = Field(10.0, ge=5, le=300)
    metrics_timeout_seconds: float = Field(2.0, ge=0.1, le=60)
    metrics_names_max: int = Field(100, ge=1, le=10_000)
    traces: str = Field("off", pattern="^(off|console)$")
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s@]+$",  # credentials belong in OTEL_EXPORTER_OTLP_HEADERS
        max_length=2000,
        validation_alias=AliasChoices("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    )
    shutdown_grace_seconds: float = Field(25.0, ge=0, le=3600)

    startup_wait_seconds: float = Field(60.0, ge=0, le=3600)

    pool_size_max: int = Field(10, ge=2, le=200)
    statement_timeout_seconds: float = Field(30.0, ge=1, le=3600)
    connect_timeout_seconds: float = Field(10.0, ge=0.1, le=300)
    append_batch_size_max: int = Field(500, ge=1, le=10_000)
    append_connections: int = Field(2, ge=1, le=16)
    append_batch_bytes_max: int = Field(8_388_608, ge=1024, le=268_435_456)
    append_queue_max: int = Field(20_000, ge=1, le=1_000_000)
    append_queue_bytes_max: int = Field(268_435_456, ge=1024, le=17_179_869_184)
    keyed_append_queue_max: int = Field(1000, ge=1, le=100_000)
    idempotency_hours: float = Field(24.0, ge=1, le=8760)

    poll_interval_seconds: float = Field(1.0, ge=0.01, le=60)
    relay_shards: int = Field(1, ge=1, le=16)
    relay_batch_size_max: int = Field(1000, ge=1, le=10_000)
    projector_batch_size_max: int = Field(5000, ge=1, le=100_000)
    projection_run_interval_seconds: float = Field(1.0, ge=0.05, le=60)
    projection_run_tries_max: int = Field(20, ge=1, le=1000)
    projection_run_wait_seconds_max: float = Field(3600.0, ge=1, le=604_800)
    projection_run_differences_max: int = Field(100, ge=1, le=1000)
    projection_runs_kept_max: int = Field(100, ge=1, le=10_000)
    projector_pause_seconds: float = Field(1.0, ge=0.01, le=60)
    publish_timeout_seconds: float = Field(10.0, ge=0.1, le=300)
    broker_retry_seconds_max: float = Field(5.0, ge=0.1, le=300)

    body_bytes_max: int = Field(1_048_576, ge=1024, le=104_857_600)
    batch_tasks_max: int = Field(10_000, ge=1, le=100_000)
    batch_bytes_max: int = Field(67_108_864, ge=1024, le=1_073_741_824)
    batch_read_seconds_max: float = Field(60.0, ge=0.1, le=3600)
    batches_at_once_max: int = Field(2, ge=1, le=100)
    json_depth_max: int = Field(64, ge=1, le=64)
    result_bytes_max: int = Field(1_048_576, ge=16, le=104_857_600)
    as_of_seconds_max: float = Field(10.0, ge=0.01, le=3600)
    as_of_looked_at_max: int = Field(20_000, ge=1, le=10_000_000)
    page_size_max: int = Field(500, ge=1, le=10_000)
    read_model_wait_seconds_max: float = Field(5.0, ge=0, le=300)
    wait_seconds_max: float = Field(60.0, ge=0, le=3600)
    waits_max: int = Field(1000, ge=1, le=100_000)
    exports_max: int = Field(4, ge=1, le=1000)
    streams_max: int = Field(200, ge=1, le=10_000)
    stream_heartbeat_seconds: float = Field(15.0, ge=0.05, le=300)
    search_events_max: int = Field(100_000, ge=1, le=10_000_000)
    search_bytes_max: int = Field(8_388_608, ge=1024, le=268_435_456)

    worker_queues: CommaList = ("default",)
    worker_concurrency: int = Field(50, ge=1, le=10_000)
    worker_prefetch: int = Field(100, ge=1, le=65_535)
    worker_name: str = Field("", max_length=200)
    worker_apps: CommaList = Field((), validation_alias=AliasChoices("worker_apps", "LEDGER_APPS"))
    handler_connections_max: int = Field(10, ge=1, le=200)
    process_idle_seconds: float = Field(60.0, ge=0, le=86_400)
    process_stop_seconds: float = Field(0.2, ge=0, le=60)
    process_tasks_max: int = Field(1000, ge=1, le=1_000_000)
    heartbeat_seconds: float = Field(1.0, ge=0.1, le=60)
    lease_seconds: float = Field(30.0, ge=5, le=3600)

    default_max_attempts: int = Field(3, ge=1, le=1000)
    default_timeout_seconds: float = Field(300.0, ge=0.1, le=604_800)
    retry_base_seconds: float = Field(1.0, ge=0, le=3600)
    retry_cap_seconds: float = Field(300.0, ge=0, le=86_400)
    attempts_lost_max: int = Field(5, ge=1, le=1000)

    scheduler_interval_seconds: float = Field(0.5, ge=0.05, le=60)
    scheduler_batch_size_max: int = Field(500, ge=1, le=10_000)
    admit_ahead_max: int = Field(100, ge=1, le=10_000)
    schedule_grace_seconds: float = Field(60.0, ge=1, le=86_400)
    backfill_max: int = Field(100, ge=1, le=1000)
    sweep_interval_seconds: float = Field(1.0, ge=0.1, le=60)
    reconcile_after_seconds: float = Field(60.0, ge=1, le=86_400)
    reconcile_batch_size_max: int = Field(500, ge=1, le=10_000)
    dead_letter_interval_seconds: float = Field(2.0, ge=0.05, le=3600)
    dead_letter_body_bytes_max: int = Field(1_048_576, ge=1024, le=104_857_600)
    seal_events_max: int = Field(10_000, ge=1, le=100_000)
    seal_seconds: float = Field(60.0, ge=0, le=86_400)
    erasable: str = Field("off", pattern="^(off|all)$")
    payload_secret: PayloadSecret = None
    erase_batch_size_max: int = Field(200, ge=1, le=10_000)
    webhooks_max: int = Field(100, ge=1, le=1000)
    webhook_allow_private: bool = False
    webhook_timeout_seconds: float = Field(10.0, ge=0.1, le=60)
    webhook_tries_max: int = Field(15, ge=1, le=100)
    webhook_retry_base_seconds: float = Field(1.0, ge=0, le=3600)
    webhook_retry_cap_seconds: float = Field(3600.0, ge=0, le=86_400)
    webhook_retry_after_seconds_max: float = Field(3600.0, ge=0, le=86_400)
    webhook_response_bytes_max: int = Field(2048, ge=0, le=65_536)
    webhook_rotation_seconds: float = Field(86_400.0, ge=0, le=2_592_000)
    webhook_log_days: float = Field(14.0, ge=0.01, le=365)

    @property
    def payload_secrets(self) -> tuple[str, ...]:
        """The secrets that wrap the keys of erasable tasks, the newest first."""
        return () if self.payload_secret is None else _secrets_in(self.payload_secret)

    def masked(self) -> dict[str, Any]:
        """Return every setting with its value, passwords and secrets masked: fit for a log or a terminal."""
        return {name: _shown(name, getattr(self, name)) for name in type(self).model_fields}


def load_settings(**overrides: Any) -> Settings:  # noqa: ANN401 - each override has its field's own type
    """Read the settings from the environment and `.env`, with overrides on top.

    Raises:
        ConfigurationError: a value is refused; the sentence names the variable, the bound and the value.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise ConfigurationError("; ".join(_sentence(problem) for problem in error.errors())) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the file .env cannot be read: {error}") from error


def environment_name(field: str) -> str:
    """Return the environment variable that sets a field, for example `lease_seconds` → `LEDGER_LEASE_SECONDS`."""
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[-1])
    return f"LEDGER_{field.upper()}"


def masked_url(url: str) -> str:
    """Return the URL with its passwords replaced by ***, wherever they stand."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "***"  # nobody knows where in it the password is
    query = _SECRET_PARAMETER.sub(r"\1***", parts.query)
    netloc = parts.netloc
    if parts.password is not None:
        netloc = f"{parts.username or ''}:***@{netloc.rpartition('@')[2]}"
    if (netloc, query) == (parts.netloc, parts.query):
        return url
    return urlunsplit(parts._replace(netloc=netloc, query=query))


def _shown(name: str, value: object) -> object:
    if not isinstance(value, SecretStr):
        return value
    return masked_url(value.get_secret_value()) if name.endswith("_url") else "***"


_SECRET_PARAMETER = re.compile(r"((?:^|&)(?:ssl)?password=)[^&]*", re.IGNORECASE)

_SECRETS = ("admin_key", "otlp_endpoint")  # what is wrong with them is said without them
_BOUNDS = {
    "greater_than_equal": ("at least {ge}", "ge"),
    "less_than_equal": ("at most {le}", "le"),
}


def _sentence(problem: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails is a TypedDict of Any
    field = str(problem["loc"][0]) if problem["loc"] else "settings"
    names = {**{f: environment_name(f) for f in Settings.model_fields}}
    name = names.get(field, field)
    value = problem["input"]
    if problem["type"] in _BOUNDS:
        template, _ = _BOUNDS[problem["type"]]
        return f"{name} must be {template.format(**problem['ctx'])}, got {value}"
    if "url" in field.lower() or "secret" in field.lower():  # the value stays unsaid
        return f"{name} {str(problem['msg']).removeprefix('Value error, ')}"
    reason = str(problem["msg"]).removeprefix("Value error, ")
    if "url" in field.lower() or field == "payload_secret":  # the value stays unsaid
        return f"{name} {reason}"
    if field in _SECRETS:
        return f"{name} is not valid: {reason[:1].lower()}{reason[1:]}"
    return f"{name} is not valid: {reason[:1].lower()}{reason[1:]}, got {value!r}"
