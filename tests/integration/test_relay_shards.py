"""The relay in shards: several relays publish at the same time, and nothing is lost whoever leads what."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aio_pika
import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from api.cli import app
from ledger.bootstrap import Ledger
from ledger.broker.memory import MemoryBroker
from ledger.broker.port import OutgoingMessage
from ledger.errors import BrokerUnavailableError, LeadershipLostError
from ledger.queries import query
from ledger.relay import Relay
from ledger.relay_layout import SHARDS_MAX, names_of, roster_of
from ledger.relay_status import relay_status
from tests.integration.api_given import client_of
from tests.integration.given import eventually, execute, fetch, opened, running, started, submitted
from tests.services.cluster import Cluster

CHECKPOINTS = "SELECT name, position FROM ledger.checkpoints WHERE name LIKE 'relay%' ORDER BY name"
STANDING_FOR_3 = """SELECT FROM pg_locks
                     WHERE classid = 19545 AND objid::bigint = hashtext('relay/3')::bigint & 4294967295"""
REMOVE_CHECKPOINT = "DELETE FROM ledger.checkpoints WHERE name = 'relay:0/2'"
SET_CHECKPOINT = "INSERT INTO ledger.checkpoints (name, position) VALUES ($1, $2)"
KNOWN_TASKS = [f"01a20ef3-f501-7361-8e04-9074ab2870{number:02x}" for number in range(8)]
SHARDS_OF_KNOWN_TASKS = [14, 9, 13, 6, 2, 11, 14, 11]


class SharedRecord(MemoryBroker):
    """Writes into a record that other brokers share what it published; may be told that it is out of reach."""

    def __init__(self, record: list[str]) -> None:
        super().__init__()
        self.record = record
        self.mine: list[str] = []
        self.is_away = False

    async def publish(self, messages: Sequence[OutgoingMessage]) -> int:
        """Publish as the class says."""
        await self.ping()
        taken = await super().publish(messages)
        ids = [message.message_id for message in messages[:taken]]
        self.record += ids
        self.mine += ids
        return taken

    async def ping(self) -> None:
        """Answer unless it is away."""
        if self.is_away:
            raise BrokerUnavailableError("it is away")


class SpoilingBroker(MemoryBroker):
    """Takes everything; then somebody changes the checkpoints."""

    def __init__(self, ledger: Ledger, statement: str) -> None:
        super().__init__()
        self._ledger = ledger
        self._statement = statement

    async def publish(self, messages: Sequence[OutgoingMessage]) -> int:
        """Publish as the class says."""
        taken = await super().publish(messages)
        await execute(self._ledger, self._statement)
        return taken


@asynccontextmanager
async def sharded(database_url: str, shards: int) -> AsyncIterator[Ledger]:
    async with opened(database_url, relay_shards=shards) as ledger:
        yield ledger


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    async with sharded(database_url, 4) as ledger:
        yield ledger


def first_deliveries(record: Iterable[str]) -> dict[str, list[int]]:
    """Return the versions of each task in the order in which they were first published."""
    versions: dict[str, list[int]] = defaultdict(list)
    for event_id in dict.fromkeys(record):
        task_id, _, version = event_id.partition(":")
        versions[task_id].append(int(version))
    return versions


async def positions(ledger: Ledger) -> dict[str, int]:
    return {row["name"]: row["position"] for row in await fetch(ledger, CHECKPOINTS)}


async def leaders(ledger: Ledger) -> set[int]:
    """Return the sessions that lead shards; empty while one is not led."""
    shards = (await relay_status(ledger)).shards
    if any(shard.leader is None for shard in shards):
        return set()
    return {shard.leader.backend_pid for shard in shards if shard.leader is not None}


async def all_is_led(ledger: Ledger) -> bool:
    return len(await leaders(ledger)) == ledger.settings.relay_shards


async def all_is_published(ledger: Ledger) -> bool:
    horizon = await ledger.store.safe_position()
    return horizon > 0 and (await relay_status(ledger)).checkpoint == horizon


async def started_tasks(ledger: Ledger, count: int) -> dict[str, list[int]]:
    """Submit and start tasks; return the versions that each has now."""
    tasks = await submitted(ledger, count)
    for task_id in tasks:
        await started(ledger, task_id)
    return {str(task_id): [1, 2] for task_id in tasks}


async def test_every_event_is_published_once_and_all_shards_come_to_the_end_of_the_log(ledger: Ledger) -> None:
    expected = await started_tasks(ledger, 30)
    broker = SharedRecord([])

    published = await Relay(ledger, broker).run_once()
    again = await Relay(ledger, broker).run_once()

    assert (published, again) == (60, 0)
    assert first_deliveries(broker.record) == expected
    assert await positions(ledger) == dict.fromkeys(names_of(4), 60)


async def test_shards_with_batches_smaller_than_the_log_leave_nothing_out(database_url: str) -> None:
    async with opened(database_url, relay_shards=3, relay_batch_size_max=2) as ledger:
        expected = await started_tasks(ledger, 20)
        broker = SharedRecord([])

        assert await Relay(ledger, broker).run_once() == 40

        assert first_deliveries(broker.record) == expected


async def test_two_relays_publish_at_the_same_time_and_each_has_its_share(ledger: Ledger) -> None:
    record: list[str] = []
    first, second = SharedRecord(record), SharedRecord(record)
    async with running(Relay(ledger, first).run(), Relay(ledger, second).run()):
        await eventually(lambda: all_is_led(ledger), what="all shards are led")
        expected: dict[str, list[int]] = {}

        async def both_publish() -> bool:
            expected.update(await started_tasks(ledger, 5))
            return bool(first.mine and second.mine)

        await eventually(both_publish, what="both have published")
        await eventually(lambda: all_is_published(ledger), what="everything is published")

    assert first_deliveries(record) == expected


async def test_a_relay_that_cannot_publish_leaves_its_share_to_the_others(ledger: Ledger) -> None:
    record: list[str] = []
    first, second = SharedRecord(record), SharedRecord(record)
    async with running(Relay(ledger, first).run(), Relay(ledger, second).run()):
        await eventually(lambda: all_is_led(ledger), what="all shards are led")
        first.is_away = True
        expected = await started_tasks(ledger, 20)
        await eventually(lambda: all_is_published(ledger), what="the other has published everything")

    assert first_deliveries(second.mine) == expected


async def test_the_number_of_shards_changes_under_load_and_nothing_is_lost(database_url: str) -> None:
    record: list[str] = []
    expected: dict[str, list[int]] = {}
    async with sharded(database_url, 1) as writer, AsyncExitStack() as stack:

        async def submit_for_ever() -> None:
            while True:
                expected.update(await started_tasks(writer, 1))

        for shards in (1, 2, 4, 1):
            ledger = await stack.enter_async_context(sharded(database_url, shards))
            relays = [Relay(ledger, SharedRecord(record)).run() for _ in range(2)]
            async with running(submit_for_ever(), *relays):
                seen = len(record)
                await eventually(lambda: _is_past(record, seen + 20), what=f"{shards} shards publish")  # noqa: B023 - awaited in the loop
        await Relay(ledger, SharedRecord(record)).run_once()
        in_log = await writer.store.read_log(after=0, upto=await writer.store.safe_position(), limit=100_000)

    assert set(record) == {event.event_id for event in in_log}
    assert all(versions == sorted(versions) for versions in first_deliveries(record).values())
    assert len(expected) > 20


async def _is_past(record: list[str], count: int) -> bool:
    return len(record) >= count


async def test_new_shards_start_where_the_slowest_of_the_former_ones_was(database_url: str) -> None:
    async with sharded(database_url, 4) as ledger:
        tasks = await submitted(ledger, 10)
        await Relay(ledger, MemoryBroker()).run_once()
        await execute(ledger, "UPDATE ledger.checkpoints SET position = 6 WHERE name = 'relay:2/4'")
    async with sharded(database_url, 2) as ledger:
        broker = SharedRecord([])
        await Relay(ledger, broker).run_once()

        assert await positions(ledger) == {"relay:0/2": 10, "relay:1/2": 10}
        assert sorted(broker.record) == sorted(f"{task_id}:1" for task_id in tasks[6:])


async def test_the_checkpoint_of_an_older_release_is_carried_over(ledger: Ledger) -> None:
    tasks = await submitted(ledger, 5)
    await execute(ledger, SET_CHECKPOINT, "relay", 3)
    broker = SharedRecord([])

    assert await Relay(ledger, broker).run_once() == 2

    assert sorted(broker.record) == sorted(f"{task_id}:1" for task_id in tasks[3:])
    assert await positions(ledger) == dict.fromkeys(names_of(4), 5)


async def test_a_layout_that_lacks_a_shard_starts_from_the_beginning(ledger: Ledger) -> None:
    await submitted(ledger, 5)
    await Relay(ledger, MemoryBroker()).run_once()
    await execute(ledger, "DELETE FROM ledger.checkpoints WHERE name = 'relay:1/4'")

    assert await Relay(ledger, MemoryBroker()).run_once() == 5


async def test_a_relay_with_another_number_waits_until_the_others_have_stopped(database_url: str) -> None:
    async with sharded(database_url, 2) as ledger, sharded(database_url, 3) as other:
        record: list[str] = []
        with capture_logs() as logs:
            async with running(Relay(ledger, MemoryBroker()).run()):
                await eventually(lambda: all_is_led(ledger), what="the shards are led")
                waiting = asyncio.create_task(Relay(other, SharedRecord(record)).run())
                await eventually(lambda: _one_stands_by(ledger), what="the other one stands by")
                await submitted(ledger)
                await eventually(lambda: all_is_published(ledger), what="the event is out")
                while_others_led = (list(record), set(await positions(ledger)))
        await eventually(lambda: all_is_led(other), what="the other one leads its shards")
        waiting.cancel()
        await asyncio.wait([waiting])

    told = [line for line in logs if line["event"] == "relay.layout_differs"]
    assert while_others_led == ([], set(names_of(2)))
    assert [(line["setting"], line["value"], line["recorded"]) for line in told] == [("LEDGER_RELAY_SHARDS", 3, 2)]


async def _one_stands_by(ledger: Ledger) -> bool:
    return bool(await fetch(ledger, STANDING_FOR_3))


@pytest.mark.parametrize(
    "change",
    ["UPDATE ledger.checkpoints SET position = 2 WHERE name LIKE 'relay:%'", REMOVE_CHECKPOINT],
)
async def test_a_stale_relay_moves_no_checkpoint(database_url: str, change: str) -> None:
    async with sharded(database_url, 2) as ledger:
        await submitted(ledger, 20)

        with pytest.raises(LeadershipLostError):
            await Relay(ledger, SpoilingBroker(ledger, change)).run_once()

        assert (await positions(ledger)).get("relay:0/2") in {2, None}


async def test_whoever_asks_for_the_relay_gets_the_slowest_shard(ledger: Ledger) -> None:
    await submitted(ledger, 9)
    for number, name in enumerate(names_of(4)):
        await execute(ledger, SET_CHECKPOINT, name, 9 - number)

    asked = [
        (await fetch(ledger, query("reader_position"), "relay"))[0]["position"],
        *(row["position"] for row in await fetch(ledger, query("list_checkpoints")) if row["name"] == "relay"),
        *(9 - row["events"] for row in await fetch(ledger, query("reader_lags"), 100) if row["name"] == "relay"),
        (await relay_status(ledger)).checkpoint,
    ]

    assert asked == [6, 6, 6, 6]


async def test_the_lag_of_each_shard_counts_its_own_events(ledger: Ledger) -> None:
    await submitted(ledger, 20)
    await Relay(ledger, MemoryBroker()).run_once()
    await execute(ledger, "UPDATE ledger.checkpoints SET position = 0 WHERE name = 'relay:1/4'")
    of_shard = await fetch(ledger, "SELECT FROM ledger.events WHERE ledger.shard_of(task_id, 4) = 1")

    status = await relay_status(ledger)

    assert [shard.lag_events for shard in status.shards] == [0, len(of_shard), 0, 0]
    assert (status.checkpoint, status.lag_events, status.leader) == (0, len(of_shard), None)
    assert [shard.lag_seconds > 0 for shard in status.shards] == [False, True, False, False]


async def test_every_shard_is_shown_by_api_page_and_command(ledger: Ledger, database_url: str) -> None:
    await submitted(ledger, 3)
    await Relay(ledger, MemoryBroker()).run_once()
    async with client_of(ledger) as client:
        shards = (await client.get("/relay")).json()["relay"]["shards"]
        page = (await client.get("/ui/relay")).text
    environment = {"DATABASE_URL": database_url, "RABBITMQ_URL": ""}
    words = await asyncio.to_thread(CliRunner().invoke, app, ["relay", "status"], env=environment)

    assert [(shard["shard"], shard["checkpoint"], shard["leader"]) for shard in shards] == [
        (number, 3, None) for number in range(4)
    ]
    assert page.count("nobody") == 4
    assert [line for line in words.stdout.splitlines() if line.startswith("shard")] == [
        f"shard {number}  position 3, lag 0 events, 0.0 s, led by nobody" for number in range(4)
    ]


async def test_the_shard_of_a_task_is_the_same_on_every_release_of_the_database(ledger: Ledger) -> None:
    rows = await fetch(
        ledger, "SELECT ledger.shard_of(id::uuid, 16) AS shard FROM unnest($1::text[]) AS id", KNOWN_TASKS
    )

    assert [row["shard"] for row in rows] == SHARDS_OF_KNOWN_TASKS


async def test_no_two_leads_of_the_relay_share_a_lock(ledger: Ledger) -> None:
    counts = range(1, SHARDS_MAX + 1)
    leads = [name for count in counts for name in names_of(count)]
    for names in (leads, [roster_of(count) for count in counts]):
        rows = await fetch(ledger, "SELECT DISTINCT hashtext(name) FROM unnest($1::text[]) AS name", names)
        assert len(rows) == len(names)


async def test_a_relay_that_is_killed_leaves_its_shards_to_the_other_and_loses_no_event(
    ledger: Ledger, database_url: str, rabbitmq_url: str, tmp_path: Path
) -> None:
    with Cluster(database_url, rabbitmq_url, tmp_path / "logs", {"LEDGER_RELAY_SHARDS": "4"}) as cluster:
        async with heard(rabbitmq_url) as record:
            cluster.start("relay")
            cluster.start("relay")
            await eventually(lambda: _processes(ledger, 2), what="both lead shards")
            expected = await started_tasks(ledger, 25)
            cluster.kill("relay")
            expected |= await started_tasks(ledger, 25)
            await eventually(lambda: all_is_published(ledger), what="everything is published")
            ids = {f"{task_id}:{version}" for task_id in expected for version in (1, 2)}
            await eventually(lambda: _has(record, ids), what="everything has arrived")
            assert await _processes(ledger, 1)

    assert first_deliveries(one for one in record if one in ids) == expected


@asynccontextmanager
async def heard(rabbitmq_url: str) -> AsyncIterator[list[str]]:
    """Record the ids of all events that reach the exchange, in the order of their arrival."""
    record: list[str] = []

    async def note(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        record.append(str(message.message_id))

    async with await aio_pika.connect(rabbitmq_url) as connection:
        channel = await connection.channel()
        await channel.declare_exchange("ledger.events", "topic", durable=True)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("ledger.events", "#")
        await queue.consume(note, no_ack=True)
        yield record


async def _processes(ledger: Ledger, count: int) -> bool:
    shards = (await relay_status(ledger)).shards
    names = {shard.leader.process for shard in shards if shard.leader is not None}
    return len(names) == count and all(shard.leader for shard in shards)


async def _has(record: list[str], ids: set[str]) -> bool:
    return ids <= set(record)
