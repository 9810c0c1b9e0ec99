"""`taskledger workers …`: an operator lists, drains and resumes workers, and the exit codes tell how it went."""

from uuid import UUID, uuid4

from typer.testing import CliRunner, Result

from api.cli import app
from tests.integration.commands_given import answer_of
from tests.integration.given import opened
from tests.services.postgres import run_apart
from worker.roster import Member, PostgresRoster


def test_a_worker_is_listed_drained_and_resumed(database_url: str) -> None:
    worker_id = run_apart(_enrolled(database_url))

    listed = _run(database_url, "list")
    drained = _run(database_url, "drain", str(worker_id), "--reason", "deploy", "--json")
    waited = _run(database_url, "drain", str(worker_id), "--wait", "--timeout", "0.1")
    run_apart(_enrolled(database_url, worker_id, takes=False))
    at_rest = _run(database_url, "drain", str(worker_id), "--wait")
    resumed = _run(database_url, "resume", str(worker_id))
    changes = _run(database_url, "changes", str(worker_id)).stdout.splitlines()

    assert listed.stdout == f"{worker_id}  alive     0/4 running  mail  crunch-7\n"
    assert answer_of(drained.stdout)["state"] == "draining"
    late = f"taskledger: the worker {worker_id} is not drained after 0.1 s\n"
    assert (waited.exit_code, waited.stderr) == (6, late)
    assert (at_rest.exit_code, at_rest.stdout.splitlines()[0]) == (0, f"{worker_id}: draining, drained")
    assert resumed.stdout.splitlines()[0] == f"{worker_id}: alive"
    assert changes[0].endswith(" resumed")
    assert changes[1].endswith(" draining: deploy")


def test_what_is_not_there_or_not_valid_is_told_with_the_code_for_it(database_url: str) -> None:
    unknown = str(uuid4())

    refused = {
        ("show", unknown): (3, "Worker not found"),
        ("drain", unknown): (3, "Worker not found"),
        ("list", "--state", "dead"): (2, "state must be one of alive, draining, silent, stopped, got 'dead'"),
        ("list", "--queue", "NO!"): (2, "queue must be 1 to 64 characters"),
    }

    for arguments, (code, sentence) in refused.items():
        result = _run(database_url, *arguments)
        assert (result.exit_code, result.stderr.startswith(f"taskledger: {sentence}")) == (code, True), (
            result.stderr
        )
    assert _run(database_url, "list").stdout == "no workers\n"
    assert answer_of(_run(database_url, "list", "--json").stdout) == {"workers": [], "has_more": False}


def _run(database_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["workers", *arguments, "--database-url", database_url])


async def _enrolled(database_url: str, worker_id: UUID | None = None, *, takes: bool = True) -> UUID:
    member = Member(worker_id=worker_id or uuid4(), name="crunch-7", queues=("mail",), capacity=4)
    async with opened(database_url) as ledger:
        roster = PostgresRoster(ledger.database, member, beat_seconds_max=5)
        await roster.beat([], takes=takes)
        await roster.close()
    return member.worker_id
