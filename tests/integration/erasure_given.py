"""What the tests of erasures begin with: erasable tasks that ran, and a look for a word in every table."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from ledger.bootstrap import Ledger
from ledger.broker.memory import MemoryBroker
from ledger.broker.port import OutgoingMessage
from ledger.relay import Relay
from tests.integration.given import eventually, fetch, running, submitted, types_of
from worker.consumer import Worker
from worker.context import TaskContext
from worker.registry import Registry

MARKER = "Ada-Lovelace-4711"
SECRET = "s" * 40
SETTINGS: dict[str, object] = {"payload_secret": SECRET, "seal_events_max": 5, "seal_seconds": 0}

_TEXT_COLUMNS = """
    SELECT format('%I.%I', table_schema, table_name) AS relation, column_name
      FROM information_schema.columns
      JOIN information_schema.tables USING (table_schema, table_name)
     WHERE table_type = 'BASE TABLE' AND table_schema IN ('ledger', 'projections', 'public')
       AND (data_type IN ('text', 'jsonb', 'bytea', 'ARRAY', 'USER-DEFINED', 'character varying'))
"""


class ListeningBroker(MemoryBroker):
    """A broker that remembers every message that was published."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[bytes] = []

    async def publish(self, messages: Sequence[OutgoingMessage]) -> int:
        """Remember, then publish."""
        self.heard += [message.body for message in messages]
        return await super().publish(messages)


def registry(ledger: Ledger) -> Registry:
    """Return handlers that get the marker, and say it in every way there is."""
    handlers = Registry()

    @handlers.task_handler("say")
    async def say(value: dict[str, str], context: TaskContext) -> dict[str, str]:
        context.progress(0.5, f"half of {value['name']}")
        await eventually(lambda: _has_progressed(ledger, context.task_id), what="the progress is recorded")
        async with context.transaction() as connection:
            await context.complete({"greeting": f"hello {value['name']}"}, connection=connection)
        return {}

    @handlers.task_handler("echo")
    async def echo(value: object) -> object:
        return value

    @handlers.task_handler("fail")
    def fail(value: dict[str, str]) -> None:
        raise ValueError(value["name"])

    handlers.task_handler("apart", isolation="process")(apart)
    return handlers


def apart(value: dict[str, str]) -> str:
    """Run in a process of its own, and say the marker."""
    return value["name"]


async def _has_progressed(ledger: Ledger, task_id: UUID) -> bool:
    return "progressed" in await types_of(ledger, task_id)


@asynccontextmanager
async def working(ledger: Ledger, broker: MemoryBroker) -> AsyncIterator[None]:
    """Run a relay and a worker beside the body."""
    worker = Worker(ledger, broker, registry(ledger))
    async with running(Relay(ledger, broker).run()), asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        yield
        await worker.stop()


async def ran(ledger: Ledger, broker: MemoryBroker, *kinds: str, tags: tuple[str, ...] = ()) -> list[UUID]:
    """Submit an erasable task of each kind, with the marker in its input, and let them run to their ends."""
    tasks = [
        (await submitted(ledger, kind=kind, input={"name": MARKER}, erasable=True, tags=tags, max_attempts=1))[0]
        for kind in kinds
    ]
    async with working(ledger, broker):
        for task_id in tasks:
            await finished(ledger, task_id)
    return tasks


async def finished(ledger: Ledger, task_id: UUID) -> None:
    """Return when the task is finished."""

    async def is_finished() -> bool:
        return (await ledger.commands.load(task_id)).is_finished

    await eventually(is_finished, what=f"{task_id} is finished")


async def places_of(ledger: Ledger, word: str) -> list[str]:
    """Return each column of each table where the word stands, as text or as bytes."""
    places = []
    for relation, column in await fetch(ledger, _TEXT_COLUMNS):
        found = await fetch(
            ledger,
            f"""SELECT FROM {relation}
                 WHERE position($1 IN "{column}"::text) > 0
                    OR position(encode($1::bytea, 'hex') IN "{column}"::text) > 0 LIMIT 1""",
            word,
        )
        places += [f"{relation}.{column}" for _ in found]
    return places
