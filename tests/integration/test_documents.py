"""What the documents tell a reader to type is there, and works as it stands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from api.cli import app
from ledger.settings import Settings, environment_name
from ledger.telemetry import metrics_table
from tests.integration.api_given import opened_api
from tests.integration.given import caught_up

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "OPERATIONS.md")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_SEVERAL = re.compile(r"^[a-z-]+(?:\|[a-z-]+)+$")


def _text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def _commands() -> Iterator[tuple[str, str]]:
    for name in DOCUMENTS:
        text = _text(name)
        spans = re.findall(r"`(taskledger [^`]+)`", text) + re.findall(
            r"^\$ (taskledger [^#\n|]+)", text, re.MULTILINE
        )
        for span in spans:
            yield name, re.sub(r"\s+", " ", span).strip()


@pytest.mark.parametrize(("document", "line"), sorted(set(_commands())))
def test_each_command_in_the_documents_has_its_words_and_options(document: str, line: str) -> None:
    words = shlex.split(line.replace("…", ""))[1:]
    command = get_command(app)
    while words and not words[0].startswith("-") and (below := getattr(command, "commands", None)):
        names = words[0].split("|") if _SEVERAL.match(words[0]) else [words[0]]
        assert [name for name in names if name not in below] == [], f"{document}: {line}"
        command = below[names[0]]
        words = words[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}

    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, f"{document}: {line}"


def test_each_setting_in_the_documents_is_one() -> None:
    known = {environment_name(field) for field in Settings.model_fields}
    of_tests_and_clients = {"LEDGER_TEST_DATABASE_URL", "LEDGER_TEST_RABBITMQ_URL", "LEDGER_URL", "LEDGER_API_KEY"}

    for name in DOCUMENTS:
        named = set(re.findall(r"\bLEDGER_[A-Z_]+[A-Z]\b", _text(name)))
        assert named - known - of_tests_and_clients == set(), name


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    assert metrics_table() in _text("OPERATIONS.md")


async def test_each_request_in_the_readme_is_answered_as_it_stands(database_url: str) -> None:
    lines = re.findall(r"^\$ curl -s (.*)$", _text("README.md"), re.MULTILINE)
    answers = {}
    async with opened_api(database_url) as (ledger, client):
        submitted = ""
        for line in lines:
            method, url, body = _request(line)
            answer = await client.request(method, _ID.sub(submitted, url), content=body)
            answers[line] = answer.status_code
            submitted = answer.json().get("task_id", submitted)
            await caught_up(ledger)

    assert len(answers) > 5
    assert {line: status for line, status in answers.items() if status not in {200, 202}} == {}


def _request(line: str) -> tuple[str, str, str | None]:
    words = iter(shlex.split(line))
    method, url, body = "GET", "", None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-d":
            body = next(words)
        else:
            url = word.removeprefix("http://").removeprefix("localhost:8080")
    return method, url, body
