"""Schedules fire once at each of their times, whoever races, whatever breaks and however late it is."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
from pydantic import JsonValue
from structlog.testing import capture_logs

from ledger.bootstrap import Ledger
from ledger.errors import InvalidValueError, ScheduleNotFoundError, StoreRefusedError
from ledger.queries import query
from ledger.scheduler import Scheduler
from ledger.schedules.commands import Schedules
from ledger.schedules.firer import ScheduleFirer
from ledger.schedules.schedule import Backfill, Overlap, Schedule, ScheduleDefinition, TaskTemplate
from ledger.store.records import Origin
from ledger.task import FINISHED, Task
from ledger.task_words import Cause, TaskError
from tests.integration.given import CLIENT, eventually, execute, fetch, opened, running

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
EVERY_MINUTE = ScheduleDefinition(cron="* * * * *", task=TaskTemplate(input="x"))
YEARLY = ScheduleDefinition(cron="0 0 1 1 *", task=TaskTemplate(input="x"))


LIVES = (
    (),
    ("start",),
    ("start", "progress"),
    ("start", "complete"),
    ("start", "progress", "complete"),
    ("start", "retry_later"),
    ("start", "give_up"),
    ("start", "give_up", "discard"),
    ("start", "complete", "retry"),
    ("cancel",),
    ("start", "cancel"),
)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with opened(database_url, scheduler_interval_seconds=0.05) as ledger:
        yield ledger


async def test_what_is_not_due_is_not_fired(ledger: Ledger) -> None:
    await _set(ledger, YEARLY)

    assert await ScheduleFirer(ledger).run_once() == 0
    assert await _fires(ledger) == []


async def test_a_due_schedule_submits_its_task_and_moves_on(ledger: Ledger) -> None:
    definition = ScheduleDefinition(
        cron="0 0 1 1 *",
        task=TaskTemplate(
            kind="mail.send", queue="mail", input={"to": 1}, priority=7, tags=("tenant:a",), key="k"
        ),
    )
    await _set(ledger, definition)
    due_at = await _make_due(ledger)

    assert await ScheduleFirer(ledger).run_once() == 1

    ((fire_at, task_id, outcome),) = await _fires(ledger)
    (event,) = await ledger.store.read_stream(UUID(str(task_id)))
    data = json.loads(event.data)
    assert (fire_at, outcome) == (due_at, "fired")
    assert (event.kind, event.queue, data["input"], data["priority"], data["key"]) == (
        "mail.send", "mail", {"to": 1}, 7, "k",
    )  # fmt: skip
    assert data["tags"] == ["tenant:a", "schedule:nightly"]
    assert (event.actor, event.correlation_id) == ("schedule:nightly", str(task_id))
    assert event.causation_id == f"schedule:nightly@{due_at:%Y-%m-%dT%H:%M:%S}Z"
    schedule = await _find(ledger)
    assert (schedule.last_fire_at, schedule.last_task_id) == (due_at, task_id)
    assert schedule.next_fire_at is not None
    assert schedule.next_fire_at > ledger.clock.now()


async def test_two_schedulers_that_race_fire_each_time_once(database_url: str, ledger: Ledger) -> None:
    for number in range(20):
        await _set(ledger, YEARLY, name=f"n{number}")
    await _make_due(ledger, None)

    async with opened(database_url) as other:
        firers = [ScheduleFirer(one) for one in (ledger, other, ledger)]
        counts = await asyncio.gather(*(firer.run_once() for firer in firers))

    assert sum(counts) == 20
    assert await _count_events(ledger) == 20
    assert {len(await _fires(ledger, f"n{number}")) for number in range(20)} == {1}


async def test_a_crash_before_the_commit_leaves_nothing_and_the_fire_is_made_up_for(ledger: Ledger) -> None:
    await _set(ledger, YEARLY)
    due_at = await _make_due(ledger)
    await execute(
        ledger,
        """CREATE FUNCTION public.die() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
           CREATE TRIGGER die BEFORE UPDATE ON ledger.schedules FOR EACH ROW EXECUTE FUNCTION public.die()""",
    )

    with pytest.raises(Exception, match="out of reach"):
        await ScheduleFirer(ledger).run_once()
    left = (await _count_events(ledger), await _fires(ledger), (await _find(ledger)).next_fire_at)
    await execute(ledger, "DROP TRIGGER die ON ledger.schedules")
    made_up = await ScheduleFirer(ledger).run_once()

    assert left == (0, [], due_at)
    assert made_up == 1
    assert [fire[0] for fire in await _fires(ledger)] == [due_at]


async def test_a_time_that_was_fired_is_not_fired_again_although_the_schedule_forgot(ledger: Ledger) -> None:
    await _set(ledger, YEARLY)
    due_at = await _make_due(ledger)
    await ScheduleFirer(ledger).run_once()

    await _make_due(ledger, at=due_at)
    again = await ScheduleFirer(ledger).run_once()
    await Schedules(ledger).remove("nightly", reason="", origin=CLIENT)
    await _set(ledger, YEARLY)
    await _make_due(ledger, at=due_at)
    anew = await ScheduleFirer(ledger).run_once()

    assert (again, anew) == (0, 0)
    assert await _count_events(ledger) == 1


@pytest.mark.parametrize(
    ("backfill", "expected"),
    [(Backfill.NONE, []), (Backfill.LATEST, [2]), (Backfill.ALL, [0, 1, 2])],
    ids=str,
)
async def test_after_a_downtime_the_policy_says_what_is_fired(
    ledger: Ledger, backfill: Backfill, expected: list[int]
) -> None:
    yesterday = await _set(ledger, ScheduleDefinition(cron=await _hours_ago(ledger, 2, 3, 4), backfill=backfill))
    assert yesterday.next_fire_at is not None
    first = yesterday.next_fire_at - 24 * HOUR
    await _make_due(ledger, at=first)

    with capture_logs() as logs:
        await ScheduleFirer(ledger).run_once()

    assert [fire[0] for fire in await _fires(ledger)] == [first + hours * HOUR for hours in expected]
    assert (await _find(ledger)).next_fire_at == yesterday.next_fire_at
    missed = [line["missed_from"] for line in logs if line["event"] == "schedule.missed"]
    assert missed == ([] if backfill is Backfill.ALL else [first])


async def test_a_long_downtime_is_made_up_for_in_rounds(database_url: str) -> None:
    async with opened(database_url, backfill_max=7) as ledger:
        await _set(ledger, ScheduleDefinition(cron="* * * * *", backfill=Backfill.ALL))
        first = await _make_due(ledger, ago=20 * MINUTE)
        firer = ScheduleFirer(ledger)

        counts = [await firer.run_once() for _ in range(3)]

        assert counts[:2] == [7, 7]
        assert [fire[0] for fire in await _fires(ledger)] == [first + n * MINUTE for n in range(sum(counts))]


async def test_under_none_neither_pausing_nor_resuming_fires_what_passed(ledger: Ledger) -> None:
    schedules = Schedules(ledger)
    before = await _set(ledger, ScheduleDefinition(cron=await _hours_ago(ledger, 1, 2, 3), backfill=Backfill.NONE))
    paused = await schedules.pause("nightly", reason="", origin=CLIENT)
    await execute(ledger, "UPDATE ledger.schedules SET last_fire_at = now() - interval '1 day'")

    fired_while_paused = await ScheduleFirer(ledger).run_once()
    resumed = await schedules.resume("nightly", reason="", origin=CLIENT)
    fired_after = await ScheduleFirer(ledger).run_once()

    assert (paused.next_fire_at, fired_while_paused, fired_after) == (None, 0, 0)
    assert resumed.next_fire_at == before.next_fire_at


async def test_in_berlin_a_day_has_one_fire_whether_its_clocks_change_or_not(ledger: Ledger) -> None:
    await _set(
        ledger,
        ScheduleDefinition(
            cron="30 2 * * *",
            time_zone="Europe/Berlin",
            backfill=Backfill.ALL,
            ends_at=datetime(2026, 3, 31, tzinfo=UTC),
        ),
    )
    await _make_due(ledger, at=datetime(2026, 3, 28, 1, 30, tzinfo=UTC))

    await ScheduleFirer(ledger).run_once()

    assert [f"{fire[0]:%m-%d %H:%M}" for fire in await _fires(ledger)] == [
        "03-28 01:30",
        "03-29 01:00",  # 02:30 does not exist that day: 03:00 in Berlin
        "03-30 00:30",
    ]
    assert (await _find(ledger)).next_fire_at is None


async def test_a_fire_is_skipped_exactly_while_the_task_before_it_is_unfinished(ledger: Ledger) -> None:
    names = {"_".join(acts) or "nothing": acts for acts in LIVES}
    for name in names:
        await _set(ledger, replace(YEARLY, overlap=Overlap.SKIP), name=name)
    await _make_due(ledger, None, ago=2 * HOUR)
    await ScheduleFirer(ledger).run_once()
    finished = {name: await _live(ledger, await _last_task(ledger, name), acts) for name, acts in names.items()}

    await _make_due(ledger, None, ago=HOUR)
    fired = await ScheduleFirer(ledger).run_once()

    assert fired == sum(finished.values())
    for name, is_finished in finished.items():
        outcomes = [fire[2] for fire in await _fires(ledger, name)]
        assert outcomes == ["fired", "fired" if is_finished else "skipped"], name


async def test_schedules_that_cannot_be_fired_keep_no_other_from_it_and_are_told_of_once(
    database_url: str,
) -> None:
    async with opened(database_url, scheduler_batch_size_max=2) as ledger:
        for name in ("bad-1", "bad-2", "bad-3", "good"):
            await _set(ledger, YEARLY, name=name)
        await execute(ledger, "UPDATE ledger.schedules SET cron = 'whenever' WHERE name LIKE 'bad%'")
        await _make_due(ledger, None)
        firer = ScheduleFirer(ledger)

        with capture_logs() as logs:
            counts = [await firer.run_once() for _ in range(3)]

    assert counts == [1, 0, 0]
    hopeless = [line["schedule"] for line in logs if line["event"] == "schedule.hopeless"]
    assert sorted(hopeless) == ["bad-1", "bad-2", "bad-3"]


async def test_a_refusal_of_the_database_is_said_once_the_others_are_fired(ledger: Ledger) -> None:
    await _set(ledger, YEARLY, name="refused")
    await _set(ledger, YEARLY)
    await execute(ledger, "ALTER TABLE ledger.schedule_fires ADD CONSTRAINT refuse CHECK (schedule <> 'refused')")
    await _make_due(ledger, None)

    with pytest.raises(StoreRefusedError):
        await ScheduleFirer(ledger).run_once()

    assert len(await _fires(ledger)) == 1
    assert await _count_events(ledger) == 1


async def test_a_running_scheduler_fires_within_a_second_and_rings(ledger: Ledger) -> None:
    await _set(ledger, YEARLY)
    due_at = ledger.clock.now() + timedelta(seconds=0.3)
    await _make_due(ledger, at=due_at)

    async with ledger.store.appends() as signal, running(Scheduler(ledger).run()):
        await signal.wait(0)
        await eventually(lambda: _has_fired(ledger), what="the schedule has fired")
        rang = await signal.wait(10)

    (row,) = await fetch(ledger, "SELECT recorded_at FROM ledger.events")
    assert timedelta(0) <= row[0] - due_at < timedelta(seconds=1)
    assert rang


async def test_a_fire_by_hand_has_a_time_of_its_own_and_leaves_the_others_as_they_are(ledger: Ledger) -> None:
    before = await _set(ledger, YEARLY)
    await Schedules(ledger).pause("nightly", reason="", origin=CLIENT)

    first, second = [
        await Schedules(ledger).fire("nightly", reason="a test", origin=Origin("client", correlation_id="c-1"))
        for _ in range(2)
    ]
    resumed = await Schedules(ledger).resume("nightly", reason="", origin=CLIENT)

    (event,) = await ledger.store.read_stream(first.appended.task_id)
    assert (event.actor, event.correlation_id) == ("client", "c-1")
    assert (event.causation_id or "").startswith("schedule:nightly@")
    assert first.fire_at < second.fire_at
    assert [fire[2] for fire in await _fires(ledger)] == ["fired_by_hand"] * 2
    assert (resumed.next_fire_at, resumed.last_task_id) == (before.next_fire_at, second.appended.task_id)


async def test_every_change_is_kept_with_who_when_and_why_and_cannot_be_altered(ledger: Ledger) -> None:
    schedules = Schedules(ledger)
    origin = Origin(actor="user:ada")
    for definition in (YEARLY, YEARLY, EVERY_MINUTE):  # the second changes nothing
        await schedules.put("nightly", definition, paused=None, reason="why", origin=origin)
    for act in (schedules.pause, schedules.pause, schedules.resume, schedules.fire, schedules.remove):
        await act("nightly", reason="so", origin=origin)

    changes = (await schedules.changes("nightly", before=None, limit=10))[::-1]

    assert [change.change for change in changes] == [
        "created", "changed", "paused", "resumed", "fired", "removed",
    ]  # fmt: skip
    assert {(change.actor, change.reason) for change in changes} == {("user:ada", "why"), ("user:ada", "so")}
    assert [json.loads(change.definition)["cron"] for change in changes[:2]] == ["0 0 1 1 *", "* * * * *"]
    assert [json.loads(change.definition)["paused"] for change in changes[1:4]] == [False, True, False]
    for statement in ("DELETE FROM ledger.schedule_changes", "UPDATE ledger.schedule_changes SET actor = 'x'"):
        with pytest.raises(StoreRefusedError, match="append-only"):
            await execute(ledger, statement)


async def test_setting_it_again_loses_no_fire_that_is_due(ledger: Ledger) -> None:
    await _set(ledger, YEARLY)
    due_at = await _make_due(ledger)

    await _set(ledger, replace(YEARLY, task=TaskTemplate(input="new")))
    await ScheduleFirer(ledger).run_once()

    assert [fire[0] for fire in await _fires(ledger)] == [due_at]


async def test_setting_what_is_set_already_is_no_change_but_any_other_json_is(ledger: Ledger) -> None:
    schedules = Schedules(ledger)
    values: list[JsonValue] = [{"aa": 1.0, "b": [True]}, {"b": [True], "aa": 1.0}, {"aa": 1.0, "b": [1]}]
    for value in values:
        await _set(ledger, replace(YEARLY, task=TaskTemplate(input=value)))

    changes = (await schedules.changes("nightly", before=None, limit=10))[::-1]

    assert [json.loads(change.definition)["task"]["input"]["b"] for change in changes] == [[True], [1]]
    assert [change.change for change in changes] == ["created", "changed"]


async def test_many_that_make_the_same_schedule_at_once_make_one(ledger: Ledger) -> None:
    kept = await asyncio.gather(
        *(Schedules(ledger).put("nightly", YEARLY, paused=None, reason="", origin=CLIENT) for _ in range(8))
    )

    assert sum(one.created for one in kept) == 1
    assert len(await Schedules(ledger).changes("nightly", before=None, limit=10)) == 1


async def test_what_is_out_of_bounds_or_not_there_changes_nothing(ledger: Ledger) -> None:
    schedules = Schedules(ledger)
    bad = ScheduleDefinition(cron="* * * * *", task=TaskTemplate(input="a\0b"))

    with pytest.raises(InvalidValueError, match="input must be text without NUL"):
        await schedules.put("nightly", bad, paused=None, reason="", origin=CLIENT)
    for act in (schedules.pause, schedules.resume, schedules.fire, schedules.remove):
        with pytest.raises(ScheduleNotFoundError):
            await act("nightly", reason="", origin=CLIENT)

    assert await schedules.changes("nightly", before=None, limit=10) == []
    assert await _count_events(ledger) == 0


async def test_a_scheduler_that_freezes_within_a_fire_holds_the_readers_back_no_longer_than_its_bound(
    ledger: Ledger,
) -> None:
    await _set(ledger, YEARLY)
    await _make_due(ledger)

    async with ledger.database.connection() as connection, connection.transaction():
        await connection.fetchrow(query("lock_due_schedule"), "nightly")
        bound = await connection.fetchval("SHOW idle_in_transaction_session_timeout")
    async with ledger.database.connection() as connection:
        afterwards = await connection.fetchval("SHOW idle_in_transaction_session_timeout")

    assert (bound, afterwards) == ("5s", "0")


async def test_the_next_due_schedule_is_found_by_an_index(ledger: Ledger) -> None:
    await execute(
        ledger,
        """INSERT INTO ledger.schedules (name, cron, time_zone, task, backfill, overlap, next_fire_at)
           SELECT 's' || n, '0 * * * *', 'UTC', '{}', 'none', 'allow', now() + interval '1 hour'
             FROM generate_series(1, 20000) AS n""",
    )
    await execute(ledger, "ANALYZE ledger.schedules")

    plan = await fetch(
        ledger, f"EXPLAIN (ANALYZE, BUFFERS) {query('due_schedules')}", datetime.fromtimestamp(0, UTC), "", 500
    )

    text = "\n".join(row[0] for row in plan)
    assert "Index Scan using schedules_due" in text
    assert "Seq Scan" not in text


async def _set(ledger: Ledger, definition: ScheduleDefinition, name: str = "nightly") -> Schedule:
    kept = await Schedules(ledger).put(name, definition, paused=None, reason="", origin=CLIENT)
    return kept.schedule


async def _find(ledger: Ledger, name: str = "nightly") -> Schedule:
    schedule, _, _ = await Schedules(ledger).find(name, fires_max=1)
    return schedule


async def _make_due(
    ledger: Ledger, name: str | None = "nightly", *, ago: timedelta = timedelta(0), at: datetime | None = None
) -> datetime:
    """Move the next fire time of one schedule, or of all, into the past, onto a whole minute."""
    due_at = at or (ledger.clock.now() - ago).replace(second=0, microsecond=0)
    await execute(
        ledger,
        "UPDATE ledger.schedules SET next_fire_at = $2 WHERE name = coalesce($1, name)",
        name,
        due_at,
    )
    return due_at


async def _hours_ago(ledger: Ledger, *hours: int) -> str:
    """Return an expression for these hours of each day, at the minute 0, in UTC."""
    now = ledger.clock.now().astimezone(UTC)
    return f"0 {','.join(str((now - count * HOUR).hour) for count in hours)} * * *"


async def _fires(ledger: Ledger, name: str = "nightly") -> list[tuple[datetime, UUID | None, str]]:
    statement = "SELECT fire_at, task_id, outcome FROM ledger.schedule_fires WHERE schedule = $1 ORDER BY fire_at"
    return [(row[0], row[1], row[2]) for row in await fetch(ledger, statement, name)]


async def _has_fired(ledger: Ledger) -> bool:
    return bool(await _fires(ledger))


async def _count_events(ledger: Ledger) -> int:
    (row,) = await fetch(ledger, "SELECT count(*) FROM ledger.events")
    return int(row[0])


async def _last_task(ledger: Ledger, name: str) -> UUID:
    task_id = (await _find(ledger, name)).last_task_id
    assert task_id is not None
    return task_id


async def _live(ledger: Ledger, task_id: UUID, acts: Sequence[str]) -> bool:
    """Let a task live through these acts; return whether it is finished then."""
    for act in acts:
        await ledger.commands.decide(task_id, partial(_do, ledger, act), origin=CLIENT)
    return (await ledger.commands.load(task_id)).status in FINISHED


def _do(ledger: Ledger, act: str, task: Task) -> None:
    now = ledger.clock.now()
    attempt = task.attempt
    error = TaskError(type="ValueError", message="no")
    delay = {"retry_later": 300.0, "give_up": None}.get(act)
    if act == "start":
        task.start(worker_id="one", now=now)
    elif act == "progress":
        task.report_progress(attempt=attempt, fraction=0.5, message="half", now=now)
    elif act == "complete":
        task.complete(attempt=attempt, result=None, now=now)
    elif act == "retry":
        task.retry(actor="client", reason="", now=now)
    elif act == "discard":
        task.discard(actor="client", reason="", now=now)
    elif act == "cancel":
        task.request_cancel(actor="client", reason="", now=now)
    else:
        task.fail(attempt=attempt, error=error, cause=Cause.ERROR, now=now, retry_delay_seconds=delay)
