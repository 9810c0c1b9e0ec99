"""A ledger that an older release recorded: this release migrates it, reads all of it, and goes on with it.

tests/contract/ledgers/v1.json was written by the last release whose Submitted had one version: its own submits,
worker, relay, scheduler and projector recorded the rows; its read model is of the projection's first version.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from ledger.bootstrap import Ledger
from ledger.broker.memory import MemoryBroker
from ledger.migrate import migrate, shipped_migrations
from ledger.queries import query
from ledger.relay import Relay
from ledger.seals.sealer import Sealer
from ledger.seals.verification import Verifier
from ledger.store.records import Origin
from ledger.task_words import Status
from projections.projector import Projector
from projections.task_status import TASK_STATUS
from projections.verify import verify
from tests.integration.api_given import opened_api
from tests.integration.given import caught_up, eventually, fetch, running
from worker.consumer import Worker
from worker.registry import Registry, shipped_registry

RECORDED = json.loads((Path(__file__).parents[1] / "contract" / "ledgers" / "v1.json").read_text())
TASKS: dict[str, dict[str, Any]] = RECORDED["tasks"]
ROWS: dict[str, list[dict[str, Any]]] = RECORDED["tables"]
_MARK = "SELECT obj_description('projections.task_status'::regclass, 'pg_class')"


@pytest.fixture
async def api(empty_database_url: str) -> AsyncIterator[tuple[Ledger, httpx.AsyncClient]]:
    await _restore(empty_database_url)
    await migrate(empty_database_url)
    async with opened_api(empty_database_url, seal_seconds=0, heartbeat_seconds=0.1) as api:
        yield api


async def test_every_task_of_an_older_release_is_what_it_was(ledger: Ledger, client: httpx.AsyncClient) -> None:
    await _with_the_read_model_of_this_release(ledger)

    listed = {task["task_id"]: task for task in (await client.get("/tasks?limit=50")).json()["tasks"]}

    assert listed.keys() == {told["task_id"] for told in TASKS.values()}
    assert await verify(ledger, TASK_STATUS) == []
    for told in TASKS.values():
        task_id = told["task_id"]
        shown = (await client.get(f"/tasks/{task_id}")).json()
        history = (await client.get(f"/tasks/{task_id}/events")).json()["events"]
        assert {name: shown[name] for name in ("task_id", "status", "version", "attempt", "result")} == {
            name: told[name] for name in ("task_id", "status", "version", "attempt", "result")
        }
        assert listed[task_id]["status"] == told["status"]
        assert [event["type"] for event in history] == told["types"]
    assert listed[TASKS["completed"]["task_id"]]["tags"] == ["tenant:acme", "urgent"]


async def test_the_past_of_an_older_release_is_still_told(ledger: Ledger, client: httpx.AsyncClient) -> None:
    await _with_the_read_model_of_this_release(ledger)
    await caught_up(ledger)
    events = ROWS["ledger.events"]

    for last in events[::5]:
        moment = _moment(last["recorded_at"])
        known = {event["task_id"] for event in events if _moment(event["recorded_at"]) <= moment}
        versions = [
            max(
                event["version"]
                for event in events
                if event["task_id"] == task_id and _moment(event["recorded_at"]) <= moment
            )
            for task_id in known
        ]
        asked = {"as_of": moment.isoformat()}
        then = [(await client.get(f"/tasks/{task_id}", params=asked)).json()["version"] for task_id in known]
        assert then == versions
        assert (await client.get("/ledger", params=asked)).json()["total"] == len(known)


async def test_events_of_an_older_release_are_exported_as_they_are_and_can_be_sealed(
    ledger: Ledger, client: httpx.AsyncClient
) -> None:
    await Sealer(ledger).run_once()

    exported = [json.loads(line) for line in (await client.get("/events/export")).text.splitlines()]
    verdict = await Verifier(ledger).verify()

    assert [(event["position"], event["schema_version"], event["data"]) for event in exported] == [
        (event["position"], event["schema_version"], event["data"]) for event in ROWS["ledger.events"]
    ]
    assert {event["schema_version"] for event in exported} == {1}
    assert (verdict.difference, verdict.events, verdict.unsealed) == (None, len(exported), 0)


async def test_a_task_of_an_older_release_can_be_retried_and_runs(ledger: Ledger) -> None:
    registry = Registry(fallback=shipped_registry())
    task_id = UUID(TASKS["failed"]["task_id"])

    @registry.task_handler("doomed")
    async def doomed(value: dict[str, str]) -> dict[str, str]:
        return {"sent to": value["to"]}

    broker = MemoryBroker()
    worker = Worker(ledger, broker, registry)
    async with running(Relay(ledger, broker).run()), asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await ledger.commands.retry(task_id, reason="the handler is mended", origin=Origin(actor="operator"))
        await eventually(lambda: _is_completed(ledger, task_id), what="the task is completed")
        await worker.stop()

    task = await ledger.commands.load(task_id)
    assert (task.result, task.attempt, task.version) == ({"sent to": "nobody"}, 3, 9)


async def _is_completed(ledger: Ledger, task_id: UUID) -> bool:
    return (await ledger.commands.load(task_id)).status == Status.COMPLETED


async def _with_the_read_model_of_this_release(ledger: Ledger) -> None:
    """Start the projector, and let it rebuild what the older release made."""

    async def is_rebuilt() -> bool:
        ((mark,),) = await fetch(ledger, _MARK)
        return bool(mark == f"version {TASK_STATUS.version}")

    assert not await is_rebuilt()
    async with running(Projector(ledger, [TASK_STATUS]).run()):
        await eventually(is_rebuilt, what="the read model is of this release")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


async def _restore(url: str) -> None:
    """Put the older release's database in place: its migrations, as it applied and recorded them, and its rows."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(query("make_migrations_table"))
        applied = {(row["number"], row["sha256"]) for row in ROWS["ledger.schema_migrations"]}
        same = [each for each in shipped_migrations() if (each.number, each.sha256) in applied]
        assert len(same) == len(applied), "a migration that was released has been edited"
        for migration in same:
            await connection.execute(migration.statements)
        model = RECORDED["read_model"]
        await connection.execute("SET search_path = projections")
        await connection.execute("\n".join(model["made_by"]))
        await connection.execute("RESET search_path")
        await connection.execute(f"COMMENT ON TABLE projections.task_status IS '{model['mark']}'")
        for table, rows in ROWS.items():
            await connection.execute(
                f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, $1::json)",  # noqa: S608 - both are of the recording
                json.dumps(rows),
            )
        await connection.execute(
            "SELECT setval('ledger.position_seq', $1)", max(row["position"] for row in ROWS["ledger.events"])
        )
    finally:
        await connection.close()
