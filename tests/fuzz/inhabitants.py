"""The inhabitants of a ledger: one of everything that a path can name, in every state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import httpx
from pydantic import JsonValue

from ledger.access.api_key import ApiKey, Scope
from ledger.access.commands import create_key
from ledger.archive.detach import detach
from ledger.bootstrap import Ledger
from ledger.payloads.erasure import Erasure
from ledger.store.records import StaleWrite
from ledger.task import Task
from ledger.task_words import Cause, TaskError
from ledger.webhooks.dispatcher import Dispatcher
from projections.projector import Projector
from projections.shipped import SHIPPED
from tests.integration.api_given import client_of
from tests.integration.archives_given import MAY, aged_ledger
from tests.integration.dead_letters_given import dead_messages, fail, foreign
from tests.integration.given import CLIENT, opened, started, submitted
from tests.integration.webhooks_given import receiving
from worker.roster import Member, PostgresRoster

SETTINGS: dict[str, object] = {
    "payload_secret": "s" * 40,
    "webhook_allow_private": True,
    "read_model_wait_seconds_max": 0.05,
    "wait_seconds_max": 0.05,
    "stream_heartbeat_seconds": 0.05,
}


@dataclass(frozen=True, slots=True)
class Inhabitants:
    """What can be asked for, by what it is."""

    tasks: Sequence[str]
    queues: Sequence[str]
    schedules: Sequence[str]
    webhooks: Sequence[str]
    deliveries: Sequence[int]
    letters: Sequence[str]
    bulk_acts: Sequence[str]
    erasures: Sequence[str]
    failures: Sequence[str]
    workers: Sequence[str]
    projections: Sequence[str]
    runs: Sequence[str]
    cursors: Sequence[str]


async def inhabit(url: str, directory: Path) -> Inhabitants:
    """Let a ledger be inhabited; the archive of a month goes to the directory."""
    async with aged_ledger(url) as (ledger, archived):
        await detach(ledger, MAY, directory=directory, actor="tester")
    async with opened(url, **SETTINGS) as ledger, receiving() as receiver, client_of(ledger) as client:
        tasks = [*archived[:1], archived[3], *await _tasks(ledger)]
        letters = await dead_messages(
            ledger,
            "mail",
            [foreign("mail", body=b"\xff\0"), foreign("mail", message_id=f"{tasks[-1]}:1", body=b"{}")],
        )
        await _set(client, f"{receiver.url}")
        await Dispatcher(ledger).run_once()
        workers = await _workers(ledger)
        await _folded(ledger)
        return await _seen(client, tasks=tasks, letters=letters, workers=workers)


async def keys_of_every_scope(url: str) -> Mapping[str, str]:
    """Make a key of each scope, so that nobody is let in without one any more; return their tokens."""
    async with opened(url) as ledger:
        return {
            str(scope): await create_key(
                ledger.database, ApiKey(name=str(scope), scopes=frozenset({scope})), actor="cli:test"
            )
            for scope in Scope
        }


async def _tasks(ledger: Ledger) -> list[UUID]:
    ready, delayed, running, completed, failed, cancelled, erased, discarded = [
        (await submitted(ledger, **given))[0]
        for given in (
            {"key": "acme", "tags": ("tenant:acme", "ä\U0001f600"), "unique_key": "one"},
            {"run_at": datetime(2100, 1, 1, tzinfo=UTC), "queue": "mail"},
            {"kind": "mail.send", "queue": "mail", "input": {"a": [1.10, None, "\u2028"]}},
            {"erasable": True, "tags": ("person:ada",)},
            {"queue": "mail", "max_attempts": 1},
            {"priority": 9},
            {"erasable": True, "tags": ("person:ada",)},
            {"queue": "mail"},
        )
    ]
    waiting = (await submitted(ledger, after=(ready,)))[0]
    for task_id in (running, completed, failed, erased):
        await started(ledger, task_id, worker_id=uuid4())
    for task_id in (completed, erased):
        cipher = await ledger.vault.cipher_of(task_id)
        await ledger.commands.decide(task_id, lambda task: _complete(ledger, task), origin=CLIENT, cipher=cipher)
    await Erasure(ledger).erase(erased, reason="asked for", origin=CLIENT)
    await _fail(ledger, failed)
    await fail(ledger, discarded, error="OSError")
    await ledger.commands.cancel(cancelled, reason="over", origin=CLIENT)
    await ledger.store.record_stale_write(
        StaleWrite(
            task_id=running, type="task.completed", attempt=1, current_attempt=2, status="RUNNING", worker_id="w",
            data='{"result": 1}', occurred_at=ledger.clock.now(),
        )
    )  # fmt: skip
    return [ready, delayed, running, completed, failed, cancelled, erased, discarded, waiting]


def _complete(ledger: Ledger, task: Task) -> None:
    now = ledger.clock.now()
    task.report_progress(attempt=task.attempt, fraction=0.5, message="half", now=now)
    task.complete(attempt=task.attempt, result={"of": task.input}, now=now)


async def _fail(ledger: Ledger, task_id: UUID) -> None:

    error = TaskError("ValueError", "no \x7f", traceback="line 1")
    await ledger.commands.decide(
        task_id,
        lambda task: task.fail(
            attempt=task.attempt, error=error, cause=Cause.ERROR, now=ledger.clock.now(), retry_delay_seconds=None
        ),
        origin=CLIENT,
    )


async def _set(client: httpx.AsyncClient, url: str) -> None:
    requests: tuple[tuple[str, str, JsonValue], ...] = (
        ("PUT", "/queues/mail", {"concurrency_max": 1, "fair": True, "weights": {"acme": 2}}),
        ("POST", "/queues/paused/pause", {"reason": "a visit"}),
        ("POST", "/tasks", {"input": 1, "queue": "paused"}),
        ("PUT", "/schedules/nightly", {"cron": "0 2 * * *", "time_zone": "Europe/Berlin"}),
        ("POST", "/schedules/nightly/fire", {}),
        ("PUT", "/schedules/paused", {"cron": "*/5 * * * *", "paused": True}),
        ("PUT", "/webhooks/hook", {"url": url, "start": "beginning", "filter": {"types": ["task.completed"]}}),
        ("PUT", "/webhooks/paused", {"url": url, "batch_max": 10}),
        ("POST", "/webhooks/paused/pause", {}),
        ("POST", "/webhooks/hook/test", None),
        ("POST", "/dead-letters/redrive", {"filter": {"queue": "nowhere"}, "dry_run": False}),
        ("POST", "/tasks/retry", {"filter": {"queue": "nowhere"}, "dry_run": False}),
        ("POST", "/projections/task_status/verify", {"reason": "is it right?"}),
    )
    for method, path, body in requests:
        answer = await client.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.text}"


async def _workers(ledger: Ledger) -> list[str]:
    ids = [uuid4(), uuid4()]
    for worker_id, name in zip(ids, ("alive", "stopped"), strict=True):
        member = Member(worker_id=worker_id, name=name, queues=("mail",), capacity=4)
        roster = PostgresRoster(ledger.database, member, beat_seconds_max=5)
        await roster.beat([])
        if name == "stopped":
            await roster.leave()
        await roster.close()
    return [str(worker_id) for worker_id in ids]


async def _folded(ledger: Ledger) -> None:
    projector = Projector(ledger, SHIPPED)
    while await projector.run_once():
        pass


async def _seen(
    client: httpx.AsyncClient, *, tasks: Sequence[UUID], letters: Sequence[UUID], workers: Sequence[str]
) -> Inhabitants:
    async def listed(path: str, member: str, key: str) -> list[str]:
        return [one[key] for one in (await client.get(path)).json()[member]]

    async def cursor(path: str) -> str:
        return str((await client.get(path, params={"limit": 1})).json()["next_cursor"])

    ordered = {"tag": "person:bob", "dry_run": False, "reason": "asked for"}
    erasure = await client.post("/erasures", json=ordered)
    return Inhabitants(
        tasks=[str(task_id) for task_id in tasks],
        queues=["mail", "paused", "default"],
        schedules=["nightly", "paused"],
        webhooks=["hook", "paused"],
        deliveries=[int(one) for one in await listed("/webhooks/hook/deliveries", "deliveries", "id")],
        letters=[str(one) for one in (*letters, *await listed("/dead-letters", "dead_letters", "id"))],
        bulk_acts=await listed("/bulk-acts", "bulk_acts", "bulk_id"),
        erasures=[erasure.json()["erasure_id"]],
        failures=await listed("/failures", "failures", "id"),
        workers=workers,
        projections=await listed("/projections", "projections", "name"),
        runs=await listed("/projections/runs", "runs", "run_id"),
        cursors=[await cursor(path) for path in ("/tasks", "/dead-letters", "/failures", "/audit")],
    )
