"""What the documents tell a reader to type is there, works as it stands, and shows what they show."""

import re
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from api.cli import app
from api.later import Later
from ledger.settings import Settings, environment_name
from ledger.telemetry import metrics_table
from tests.integration.documents import DOCUMENTS, ROOT, commands_of, sections_of, text_of
from tests.integration.reader import EXCEPTIONS, Reader
from tests.services.postgres import chosen_binaries, url_of_database

README_LINES_MAX = 200
COMMANDS = get_command(app)

# What a document mentions without an example to type, and who types it instead.
NOT_TYPED = {
    "archive detach": "needs a month that is over: tests/integration/test_archives.py",
    "erase task": "needs a secret: tests/integration/test_erase_commands.py",
    "erasure rewrap": "needs a secret: tests/integration/test_erase_commands.py",
    "webhooks resume": "would send to somebody: tests/integration/test_webhooks.py",
    "webhooks set": "would send to somebody: tests/integration/test_webhooks.py",
    "webhooks show": "would send to somebody: tests/integration/test_webhooks.py",
    "webhooks skip": "would send to somebody: tests/integration/test_webhooks.py",
}
_SEVERAL = re.compile(r"^[a-z-]+(?:\|[a-z-]+)+$")


def _commands() -> Iterator[tuple[str, str]]:
    for name in DOCUMENTS:
        text = text_of(name)
        spans = re.findall(r"`(taskledger [^`]+)`", text) + re.findall(
            r"^\$ (taskledger [^#\n|]+)", text, re.MULTILINE
        )
        for span in spans:
            yield name, re.sub(r"\s+", " ", span).strip()


@dataclass(frozen=True, slots=True)
class Found:
    """A command of a document in the command line: its names, its options, and the words behind its names."""

    names: str
    options: frozenset[str]
    words: tuple[str, ...]
    is_group: bool


@pytest.mark.parametrize(("document", "line"), sorted(set(_commands())))
def test_each_command_in_the_documents_has_its_words_and_options(document: str, line: str) -> None:
    found = _found(line)

    assert found.names, f"{document}: {line}"
    assert not found.is_group or all(word.startswith("-") for word in found.words[:1]), f"{document}: {line}"
    used = {word.partition("=")[0] for word in found.words if word.startswith("--")}
    assert used <= found.options, f"{document}: {line}"


def test_each_command_that_is_mentioned_is_typed_somewhere() -> None:
    mentioned = {_found(line).names for _, line in _commands()}
    typed = {_found(line).names for name in DOCUMENTS for line in commands_of(name) if _is_ours(line)}

    assert mentioned - typed == set(NOT_TYPED)


def _is_ours(line: str) -> bool:
    return line.startswith("taskledger ")


@cache
def _found(line: str) -> Found:
    words = shlex.split(line.replace("…", ""))[1:]
    command: Any = COMMANDS
    names = []
    while words and (below := getattr(command, "commands", None)):
        several = words[0].split("|") if _SEVERAL.match(words[0]) else [words[0]]
        if any(name not in below for name in several):
            break
        names.append(several[0])
        command, words = below[several[0]], words[1:]
        command = command.load() if isinstance(command, Later) else command
    options = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    return Found(" ".join(names), frozenset(options), tuple(words), is_group=hasattr(command, "commands"))


def test_each_setting_in_the_documents_is_one() -> None:
    known = {environment_name(field) for field in Settings.model_fields}
    of_tests_and_clients = {"LEDGER_TEST_DATABASE_URL", "LEDGER_TEST_RABBITMQ_URL", "LEDGER_URL", "LEDGER_API_KEY"}

    for name in DOCUMENTS:
        named = set(re.findall(r"\bLEDGER_[A-Z_]+[A-Z]\b", text_of(name)))
        assert named - known - of_tests_and_clients == set(), name


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    assert metrics_table() in text_of("OPERATIONS.md")


def test_the_readme_is_short() -> None:
    assert len(text_of("README.md").splitlines()) < README_LINES_MAX


def test_each_link_between_the_documents_leads_somewhere() -> None:
    for name in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text_of(name)):
            if "://" not in target:
                assert (ROOT / name).parent.joinpath(target).exists(), f"{name}: {target}"


@pytest.fixture
def environment(postgres_server_url: str, database_url: str) -> Iterator[dict[str, str]]:
    """What a reader has in the environment; the database to restore into is dropped afterwards."""
    restored = f"ledger_test_{secrets.token_hex(6)}"
    programs = chosen_binaries().directory
    yield {
        "DATABASE_URL": database_url,
        "RABBITMQ_URL": "",
        "SERVER_URL": postgres_server_url,
        "RESTORED": restored,
        "RESTORED_URL": url_of_database(postgres_server_url, restored),
        "PATH": str(programs),
        "LEDGER_SEAL_SECONDS": "0.1",  # nobody waits a minute for a seal
    }
    dropdb = [str(programs / "dropdb"), "--force", "--if-exists", f"--maintenance-db={postgres_server_url}"]
    subprocess.run([*dropdb, restored], check=True, capture_output=True)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("document", [name for name in DOCUMENTS if any(sections_of(name))])
def test_what_a_document_tells_to_type_works_and_shows_what_it_says(
    document: str, environment: dict[str, str], tmp_path: Path
) -> None:
    with Reader(tmp_path, environment) as reader:
        for section in sections_of(document):
            reader.open_terminal()
            for step in section:
                reader.do(step)


def test_no_exception_is_left_over() -> None:
    commands = [command for name in DOCUMENTS for command in commands_of(name)]

    for exception in EXCEPTIONS:
        assert any(re.fullmatch(exception, command) for command in commands), exception
