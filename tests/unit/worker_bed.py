"""What the worker's unit tests begin with: a worker on a ledger and a broker in memory, and ways to wait."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from ledger.broker.memory import MemoryBroker
from ledger.clock import LedgerClock
from ledger.codec import fold
from ledger.commands import TaskCommands
from ledger.errors import StoreUnavailableError
from ledger.messages import outgoing
from ledger.payloads.vault import PayloadVault, no_vault
from ledger.queues.policies import QueuePolicies, no_policies
from ledger.settings import Settings, load_settings
from ledger.specification import Backoff, TaskSpecification
from ledger.store.memory import MemoryEventStore
from ledger.store.port import EventStore
from ledger.store.records import Appended, NewEvent, Origin, RecordedEvent
from ledger.subscription import subscribe
from ledger.task import Task
from ledger.task_words import Status
from worker.consumer import Worker
from worker.registry import Registry, shipped_registry
from worker.roster import BeatAnswer, MemoryRoster, RunningAttempt

WAIT_SECONDS_MAX = 10.0
CLIENT = Origin(actor="client")
AT_ONCE = Backoff(base_seconds=0, cap_seconds=0)


class FaultyStore(MemoryEventStore):
    """A store that a test can take away, that loses an answer, or that appends only when enough wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.lose_answers_to: set[str] = set()
        self.reads = 0
        self.refusals = 0
        self.together: asyncio.Barrier | None = None

    async def append(
        self,
        task_id: UUID,
        events: Sequence[NewEvent],
        *,
        expected_version: int,
        connection: asyncpg.Connection | None = None,
    ) -> Appended:
        """Append, unless it is away; forget to say so where that was asked for."""
        self._answer()
        if self.together is not None and expected_version:
            await self.together.wait()
        appended = await super().append(task_id, events, expected_version=expected_version, connection=connection)
        if events[0].type in self.lose_answers_to:
            self.lose_answers_to.remove(events[0].type)
            message = "the connection was lost"
            raise StoreUnavailableError(message)
        return appended

    async def read_stream(
        self, task_id: UUID, *, after_version: int = 0, limit: int | None = None
    ) -> list[RecordedEvent]:
        """Read, unless it is away."""
        self._answer()
        self.reads += 1
        return await super().read_stream(task_id, after_version=after_version, limit=limit)

    def _answer(self) -> None:
        if self.is_away:
            self.refusals += 1
            message = "the database is away"
            raise StoreUnavailableError(message)


class FaultyRoster(MemoryRoster):
    """A roster that a test can take away."""

    def __init__(self, store: EventStore) -> None:
        super().__init__(store)
        self.is_away = False
        self.beats = 0
        self.refusals = 0
        self.has_left = False

    async def beat(self, running: Sequence[RunningAttempt]) -> BeatAnswer:
        """Beat, unless it is away."""
        if self.is_away:
            self.refusals += 1
            message = "the roster is away"
            raise StoreUnavailableError(message)
        self.beats += 1
        return await super().beat(running)

    async def leave(self) -> None:
        """Remember that the worker left."""
        self.has_left = True


@dataclass(frozen=True, slots=True)
class MemoryLedger:
    """A ledger without a database."""

    settings: Settings
    store: EventStore
    clock: LedgerClock
    policies: QueuePolicies = field(default_factory=no_policies)
    vault: PayloadVault = field(default_factory=no_vault)
    database: None = None


@dataclass(slots=True)
class Bed:
    """A worker, everything that it works on, and a relay that publishes what is appended."""

    settings: Settings
    registry: Registry = field(default_factory=lambda: Registry(fallback=shipped_registry()))
    store: FaultyStore = field(default_factory=FaultyStore)
    clock: LedgerClock = field(default_factory=LedgerClock)
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    roster: FaultyRoster = field(init=False)
    commands: TaskCommands = field(init=False)

    def __post_init__(self) -> None:
        """Make what depends on the store."""
        self.roster = FaultyRoster(self.store)
        self.commands = TaskCommands(self.store, self.clock)

    def worker(self) -> Worker:
        """Make a worker; several may work on the same bed."""
        ledger = MemoryLedger(self.settings, self.store, self.clock)
        return Worker(ledger, self.broker, self.registry, roster=self.roster)

    async def submit(self, kind: str = "default", **specification: object) -> UUID:
        """Submit a task, which is retried at once unless its backoff is given."""
        arguments: dict[str, object] = {"backoff": AT_ONCE, **specification}
        appended = await self.commands.submit(
            TaskSpecification(kind=kind, **arguments),  # type: ignore[arg-type]  # each keyword is a field of its own type
            origin=CLIENT,
        )
        return appended.task_id

    async def finished(self, task_id: UUID) -> Task:
        """Return the task as soon as it is finished."""
        await self.until(lambda task: task.is_finished, task_id)
        return self.task(task_id)

    async def running(self, task_id: UUID) -> Task:
        """Return the task as soon as it runs."""
        await self.until(lambda task: task.status is Status.RUNNING, task_id)
        return self.task(task_id)

    async def until(self, condition: Callable[[Task], bool], task_id: UUID) -> None:
        """Return as soon as the task fulfils the condition."""
        await eventually(lambda: condition(self.task(task_id)), what=f"{task_id} ({self.types(task_id)})")

    def task(self, task_id: UUID) -> Task:
        """Return the task as it is, whether the store is away or not."""
        task = fold(self.events(task_id))
        assert task is not None
        return task

    def events(self, task_id: UUID) -> list[RecordedEvent]:
        """Return its events, whether the store is away or not."""
        return list(self.store._streams.get(task_id, []))  # noqa: SLF001 - a look that the store does not notice

    def types(self, task_id: UUID) -> list[str]:
        """Return the types of its events, without their common prefix."""
        return [event.type.removeprefix("task.") for event in self.events(task_id)]

    async def publish(self, *events: RecordedEvent) -> None:
        """Publish events (again)."""
        await self.broker.publish([outgoing(event) for event in events])

    def is_consumed(self) -> bool:
        """Say whether anybody takes from the default queue."""
        return bool(self.broker._queues["default"].consumers)  # noqa: SLF001 - the port has no such question

    async def relay(self) -> None:
        """Publish for ever what is appended."""
        async with subscribe(self.store, poll_interval_seconds=1) as log:
            position = 0
            while True:
                events = await log.read(after=position, limit=1000)
                if not events:
                    await log.wait()
                    continue
                await self.broker.publish([outgoing(event) for event in events])
                position = events[-1].position


def bed(**settings: object) -> Bed:
    """Make a bed whose heart beats fast and whose pauses are short."""
    quick = {"heartbeat_seconds": 0.1, "broker_retry_seconds_max": 0.1, "shutdown_grace_seconds": 5.0}
    return Bed(load_settings(**{**quick, **settings}))


@asynccontextmanager
async def working(bed: Bed, worker: Worker | None = None) -> AsyncIterator[Worker]:
    """Run a worker and the relay for the body; the worker is stopped at its end unless it has ended already."""
    working = worker or bed.worker()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(beside(bed.relay()))
        run = asyncio.create_task(working.run())
        try:
            yield working
            await asyncio.wait_for(working.stop(), WAIT_SECONDS_MAX)
        finally:
            if not run.done():
                run.cancel()
            with suppress(asyncio.CancelledError):
                await run


@asynccontextmanager
async def beside(loop: "asyncio._CoroutineLike[None]") -> AsyncIterator[None]:
    """Run an endless loop beside the body."""
    task = asyncio.create_task(loop)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def eventually(condition: Callable[[], bool], *, what: str) -> None:
    """Return as soon as the condition holds; fail where it does not, in time."""
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not condition():
                await asyncio.sleep(0.002)
    except TimeoutError as error:
        message = f"waited {WAIT_SECONDS_MAX} s in vain: {what}"
        raise AssertionError(message) from error
