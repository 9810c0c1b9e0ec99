"""The doctor: says which invariant is broken and whose id breaks it, as text, as JSON and as a metric."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from ledger.bootstrap import Ledger
from ledger.doctor import CHECKS, examine
from ledger.exit_codes import ExitCode
from projections.projector import Projector
from projections.shipped import SHIPPED
from tests.integration.commands_given import answer_of
from tests.integration.given import opened, submitted

_ROOT = Path(__file__).parents[2]
_FORGED = """
    INSERT INTO ledger.events (task_id, version, type, schema_version, kind, queue, data, occurred_at, actor,
                               correlation_id)
    SELECT task_id, $2, $3, 1, kind, queue, $4::jsonb, now(), 'forger', correlation_id
      FROM ledger.events WHERE task_id = $1 AND version = 1
"""


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url) as ledger:
        await Projector(ledger, SHIPPED).run_once()
        yield ledger


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def doctor(database_url: str, *options: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "api", "doctor", "--database-url", database_url, *options]
    process = await asyncio.create_subprocess_exec(*command, cwd=_ROOT, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_sound_ledger_has_a_gauge_of_zero_for_every_check(ledger: Ledger, database_url: str) -> None:
    await submitted(ledger, 3)

    code, output = await doctor(database_url, "--metrics")

    lines = output.splitlines()
    assert code == ExitCode.OK
    assert lines[:2] == [
        "# HELP ledger_invariant_breaches What the doctor found broken, counted up to 20 a check.",
        "# TYPE ledger_invariant_breaches gauge",
    ]
    assert 'ledger_invariant_breaches{invariant="2",check="broken_streams"} 0' in lines
    assert 'ledger_invariant_breaches{invariant="6",check="task_status_differs"} 0' in lines
    breaches = [line for line in lines if line.startswith("ledger_invariant_breaches{")]
    assert {line.rpartition(" ")[2] for line in breaches} == {"0"}
    assert len(breaches) == len(CHECKS) + 1 + len(SHIPPED)


async def test_gap_in_a_stream_ends_the_command_with_1_and_is_counted_and_named(
    ledger: Ledger, database_url: str, owner: asyncpg.Connection
) -> None:
    (task_id,) = await submitted(ledger)
    await owner.execute(_FORGED, task_id, 3, "task.cancelled", '{"actor": "forger", "reason": ""}')

    code, metrics = await doctor(database_url, "--metrics")
    _, answer = await doctor(database_url, "--json")

    assert code == ExitCode.FAILURE
    assert 'ledger_invariant_breaches{invariant="2",check="broken_streams"} 1' in metrics
    assert [one["id"] for one in answer_of(answer)["findings"] if one["check"] == "broken_streams"] == [
        str(task_id)
    ]


async def test_second_outcome_of_an_attempt_is_found(ledger: Ledger, owner: asyncpg.Connection) -> None:
    (task_id,) = await submitted(ledger)
    await owner.execute(_FORGED, task_id, 2, "task.started", '{"attempt": 1, "worker_id": "w"}')
    for version in (3, 4):
        await owner.execute(_FORGED, task_id, version, "task.completed", '{"attempt": 1, "result": null}')

    findings = await examine(ledger)

    assert [(one.invariant, one.check, one.id) for one in findings] == [(3, "doubled_outcomes", str(task_id))]


async def test_table_whose_guard_is_off_is_found(ledger: Ledger, owner: asyncpg.Connection) -> None:
    tables = {"events", "stale_writes", "queue_changes", "schedule_changes", "dead_letters", "dead_letter_acts"}
    for table in tables:
        await owner.execute(f"ALTER TABLE ledger.{table} DISABLE TRIGGER refuse_change")

    findings = await examine(ledger)

    assert {one.id for one in findings if one.check == "unguarded_tables"} == {f"ledger.{name}" for name in tables}
