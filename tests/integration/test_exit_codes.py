"""Every command: its exit code says how it went, and with --json the envelope says the same."""

import shlex
from pathlib import Path

from typer.testing import CliRunner

from api.cli import app
from ledger.exit_codes import ExitCode
from tests.integration.api_given import UNKNOWN_ID
from tests.integration.commands_given import envelope_of
from tests.services.command_names import commands_with

OK, FAILURE, USAGE, NOT_FOUND, CONFLICT = (
    ExitCode.OK, ExitCode.FAILURE, ExitCode.USAGE, ExitCode.NOT_FOUND, ExitCode.CONFLICT,
)  # fmt: skip
YESTERDAY = "2026-01-01T00:00:00Z"

# What each command does on a ledger that is empty at first, one after the other.
EMPTY = (
    ("version", OK),
    ("config show", OK),
    ("config check", OK),
    ("migrate --dry-run", OK),
    ("doctor", FAILURE),  # nobody has made the read models yet
    ("task list", NOT_FOUND),
    ("stats", NOT_FOUND),
    ("failures list", NOT_FOUND),
    ("projections list", OK),
    ("projections status", OK),
    ("projections rebuild task_status", OK),
    ("projections rebuild task_timeline", OK),
    ("projections rebuild queue_stats", OK),
    ("projections rebuild failure_groups", OK),
    ("projections rebuild status_counts", OK),
    ("projections verify task_status", OK),
    ("projections reset task_status --yes", OK),
    ("projections reset task_status", USAGE),  # nobody is there to be asked
    ("projections rebuild nonsense", NOT_FOUND),
    ("projections verify nonsense", NOT_FOUND),
    ("projections reset nonsense --yes", NOT_FOUND),
    ("doctor", OK),
    ("stats", OK),
    ("stats --step 7", USAGE),
    ("failures list", OK),
    (f"failures show {UNKNOWN_ID}", NOT_FOUND),
    ("audit", OK),
    ("audit --source nonsense", USAGE),
    ("events tail", OK),
    ("events tail --after -1", USAGE),
    ("events export", OK),
    ("events export --format nonsense", USAGE),
    ("submit priority=99", USAGE),
    ("submit nonsense", USAGE),
    (f"submit --input '{'[' * 100}{']' * 100}'", USAGE),
    ("submit run_at=tomorrow", USAGE),
    ("submit delay_s=1e400", USAGE),
    ("submit delay_s=1 run_at=2026-01-01T00:00:00Z", USAGE),
    ("submit after=nonsense", USAGE),
    (f'submit after=[\\"{UNKNOWN_ID}\\"]', USAGE),
    ("submit key=''", USAGE),
    ("submit tenant=' '", USAGE),
    ("submit colour=red", USAGE),
    ("submit tags=1", USAGE),
    ("submit --kind ''", USAGE),
    ("task list", OK),
    ("task list --status NONSENSE", USAGE),
    (f"task show {UNKNOWN_ID}", NOT_FOUND),
    (f"task show {UNKNOWN_ID} --version 0", USAGE),
    (f"task diff {UNKNOWN_ID} --from {YESTERDAY}", NOT_FOUND),
    (f"task history {UNKNOWN_ID}", NOT_FOUND),
    (f"task timeline {UNKNOWN_ID}", NOT_FOUND),
    (f"task explain {UNKNOWN_ID}", NOT_FOUND),
    (f"task watch {UNKNOWN_ID}", NOT_FOUND),
    (f"task retry {UNKNOWN_ID}", NOT_FOUND),
    ("task retry", USAGE),
    (f"task cancel {UNKNOWN_ID}", NOT_FOUND),
    ("task cancel --all", OK),
    ("bulk-acts list", OK),
    ("bulk-acts list --subject nonsense", USAGE),
    (f"bulk-acts show {UNKNOWN_ID}", NOT_FOUND),
    (f"bulk-acts cancel {UNKNOWN_ID}", NOT_FOUND),
    ("ledger show", OK),
    ("ledger show --as-of yesterday", USAGE),
    (f"ledger diff --from {YESTERDAY}", OK),
    ("dlq list", OK),
    (f"dlq show {UNKNOWN_ID}", NOT_FOUND),
    (f"dlq redrive {UNKNOWN_ID}", NOT_FOUND),
    (f"dlq discard {UNKNOWN_ID} --reason r", NOT_FOUND),
    ("dlq redrive", USAGE),
    (f"dlq progress {UNKNOWN_ID}", NOT_FOUND),
    (f"dlq cancel {UNKNOWN_ID}", NOT_FOUND),
    (f"erase task {UNKNOWN_ID}", NOT_FOUND),
    ("erase tag shop", OK),
    ("erase tag ''", USAGE),
    (f"erasure show {UNKNOWN_ID}", NOT_FOUND),
    ("erasure rewrap", USAGE),  # without a secret
    ("queues list", OK),
    ("queues show mail", OK),
    ("queues show NO!", USAGE),
    ("queues set mail concurrency_max=1", OK),
    ("queues set mail nonsense=1", USAGE),
    ("queues pause mail", OK),
    ("queues drain mail --wait", OK),
    ("queues resume mail", OK),
    ("queues reset mail", OK),
    ("queues changes mail", OK),
    ("schedules list", OK),
    ("schedules set nightly --cron '0 2 * * *' --kind echo", OK),
    ("schedules set nightly --cron nonsense", USAGE),
    ("schedules show nightly", OK),
    ("schedules pause nightly", OK),
    ("schedules resume nightly", OK),
    ("schedules fire nightly", OK),
    ("schedules changes nightly", OK),
    ("schedules remove nightly", OK),
    ("schedules show nightly", NOT_FOUND),
    ("schedules pause nightly", NOT_FOUND),
    ("schedules resume nightly", NOT_FOUND),
    ("schedules fire nightly", NOT_FOUND),
    ("schedules remove nightly", NOT_FOUND),
    ("schedules apply", OK),
    ("schedules apply --app no_such_module", USAGE),
    ("keys create shop --scope read", OK),
    ("keys create shop --scope read", CONFLICT),
    ("keys create other --scope nonsense", USAGE),
    ("keys list", OK),
    ("keys rotate shop", OK),
    ("keys revoke shop", OK),
    ("keys rotate shop", CONFLICT),
    ("keys rotate other", NOT_FOUND),
    ("keys revoke other", NOT_FOUND),
    ("workers list", OK),
    ("workers list --state nonsense", USAGE),
    (f"workers show {UNKNOWN_ID}", NOT_FOUND),
    (f"workers drain {UNKNOWN_ID}", NOT_FOUND),
    (f"workers resume {UNKNOWN_ID}", NOT_FOUND),
    (f"workers changes {UNKNOWN_ID}", OK),  # what was asked of a worker outlives it
    ("webhooks set hook https://example.com/", OK),
    ("webhooks set hook nonsense", USAGE),
    ("webhooks list", OK),
    ("webhooks show hook", OK),
    ("webhooks pause hook", OK),
    (f"webhooks skip hook {UNKNOWN_ID}:1 --reason r", CONFLICT),
    ("webhooks resume hook", OK),
    ("webhooks rotate hook", OK),
    ("webhooks test hook", OK),
    ("webhooks deliveries hook", OK),
    ("webhooks deliveries hook --outcome nonsense", USAGE),
    ("webhooks redeliver hook 99", NOT_FOUND),
    ("webhooks delete hook", OK),
    ("webhooks show hook", NOT_FOUND),
    ("webhooks pause hook", NOT_FOUND),
    ("webhooks delete hook", NOT_FOUND),
    ("archive list", OK),
    ("archive detach nonsense", USAGE),
    ("archive detach 2020-01", CONFLICT),
    ("archive export 2020-01 FILE", CONFLICT),
    ("archive attach 2020-01", NOT_FOUND),
    ("archive verify 2020-01", CONFLICT),
    ("archive drop 2020-01", CONFLICT),
    ("reconcile --dry-run", OK),
    ("relay status", OK),
    ("verify", OK),
    ("verify --against no-such-file", USAGE),
    (f"evidence {UNKNOWN_ID}", NOT_FOUND),
    ("seals export -", OK),
)


def test_the_exit_code_of_each_command_says_how_it_went(database_url: str, tmp_path: Path) -> None:
    environment = {"DATABASE_URL": database_url, "RABBITMQ_URL": ""}
    told = {}

    for line, code in EMPTY:
        words = shlex.split(line.replace("FILE", str(tmp_path / "file")))
        result = CliRunner().invoke(app, [*words, "--json"] if _has_json(line) else words, env=environment)
        told[line] = (code, ExitCode(result.exit_code), result.stderr, result.exception)
        if _has_json(line):
            assert envelope_of(result.stdout)["exit_code"] == result.exit_code, line

    assert {line: one for line, one in told.items() if one[0] is not one[1]} == {}


def _has_json(line: str) -> bool:
    return any(f"{line} ".startswith(f"{name} ") for name in commands_with("--json"))


def test_no_command_that_a_program_can_read_is_left_out() -> None:
    told = {name for name in commands_with("--json") for line, _ in EMPTY if f"{line} ".startswith(f"{name} ")}

    assert commands_with("--json") - told == {"bench"}  # which has no database of its own


def test_each_command_says_so_where_the_database_is_out_of_reach(tmp_path: Path) -> None:
    environment = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "RABBITMQ_URL": ""}
    told = {}

    for name in sorted(commands_with("--database-url") & commands_with("--json")):
        lines = [(code is USAGE, code, line) for line, code in EMPTY if f"{line} ".startswith(f"{name} ")]
        *_, line = min(lines)
        words = shlex.split(line.replace("FILE", str(tmp_path / "file")))
        result = CliRunner().invoke(app, [*words, "--json"], env=environment)
        envelope = envelope_of(result.stdout)
        told[name] = (envelope["command"], result.exit_code, envelope["exit_code"], envelope["error"]["code"])

    assert {name: one for name, one in told.items() if one != (name, 4, 4, "unreachable")} == {}


def test_each_command_says_in_json_that_it_was_misused() -> None:
    told = {}

    for name in sorted(commands_with("--json")):
        result = CliRunner().invoke(app, [*name.split(), "--no-such-option", "--json"])
        envelope = envelope_of(result.stdout)
        told[name] = (envelope["command"], result.exit_code, envelope["error"])

    misuse = {"code": "usage", "message": "No such option: --no-such-option"}
    assert {name: one for name, one in told.items() if one != (name, 2, misuse)} == {}
