"""compose.yaml is held against the settings and the command line, since no Docker engine may be near."""

from pathlib import Path
from typing import cast

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from api.cli import app
from ledger.settings import Settings, environment_name

ROOT = Path(__file__).parents[2]
COMPOSE = cast(
    "dict[str, dict[str, dict[str, object]]]", yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
)
SERVICES = COMPOSE["services"]
ROLES = ("migrate", "api", "relay", "projector", "scheduler", "worker")


def test_every_server_and_every_role_is_a_service() -> None:
    assert set(SERVICES) == {"postgres", "rabbitmq", *ROLES}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_runs_a_command_of_the_command_line_with_options_that_it_has(role: str) -> None:
    command, *options = cast("list[str]", SERVICES[role]["command"])

    help_text = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})

    assert command in get_command(app).commands  # type: ignore[attr-defined]  # the app is a group
    assert help_text.exit_code == 0
    assert all(option in help_text.output for option in options if option.startswith("--"))


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_configured_by_variables_that_the_settings_know(role: str) -> None:
    known = {environment_name(field) for field in Settings.model_fields}

    assert set(cast("dict[str, str]", SERVICES[role]["environment"])) <= known


@pytest.mark.parametrize("role", ROLES)
def test_the_values_are_accepted_by_the_settings(role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cast("dict[str, str]", SERVICES[role]["environment"]).items():
        monkeypatch.setenv(name, _default_of(value))

    settings = Settings()

    assert settings.database_url is not None
    assert settings.port == 8080


def test_the_names_and_ports_of_the_seed_are_kept() -> None:
    assert SERVICES["postgres"]["container_name"] == "local_postgres"
    assert SERVICES["rabbitmq"]["container_name"] == "local_rabbitmq"
    assert SERVICES["postgres"]["ports"] == ["5432:5432"]
    assert SERVICES["rabbitmq"]["ports"] == ["5672:5672", "15672:15672"]
    assert SERVICES["api"]["ports"] == ["${API_PORT:-8080}:8080"]


@pytest.mark.parametrize("server", ["postgres", "rabbitmq", "api"])
def test_each_server_has_a_health_check(server: str) -> None:
    assert "test" in cast("dict[str, object]", SERVICES[server]["healthcheck"])


@pytest.mark.parametrize("role", [role for role in ROLES if role != "migrate"])
def test_each_role_waits_for_the_schema_and_the_broker_and_outlives_its_grace(role: str) -> None:
    assert SERVICES[role]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"},
        "rabbitmq": {"condition": "service_healthy"},
    }
    grace_seconds = float(str(SERVICES[role]["stop_grace_period"]).removesuffix("s"))
    assert grace_seconds > Settings.model_fields["shutdown_grace_seconds"].default


def test_the_image_installs_every_package_of_the_project() -> None:
    build = cast("dict[str, str]", SERVICES["api"]["build"])

    copied = {line.split()[1] for line in build["dockerfile_inline"].splitlines() if line.startswith("COPY ")}

    assert {"sql", "ledger", "projections", "worker", "api", "pyproject.toml"} <= copied
    assert 'ENTRYPOINT ["taskledger"]' in build["dockerfile_inline"]
    assert all((ROOT / name).exists() for name in copied)


def _default_of(value: str) -> str:
    return value.partition(":-")[2].removesuffix("}") if value.startswith("${") else value
