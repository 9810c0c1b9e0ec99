"""The stage: what runs the tasks of a rehearsal, until they are at rest.

    relay what was appended ─▶ worker ─▶ nothing is ready ─▶ move the clock to what is due next ─▶ again

The worker, with its claims and attempts, is that of production, on the memory adapters. What the relay, the
releaser and the follow-ups do in a database is done here upon the streams, by the same decisions of the aggregate.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from ledger.broker.memory import MemoryBroker
from ledger.clock import LedgerClock
from ledger.codec import fold
from ledger.commands import TaskCommands
from ledger.follow_ups import follow_up
from ledger.messages import outgoing
from ledger.payloads.vault import PayloadVault, no_vault
from ledger.queues.policies import QueuePolicies, no_policies
from ledger.settings import Settings, load_settings
from ledger.standings import Standing
from ledger.store.memory import MemoryEventStore
from ledger.store.records import Origin
from ledger.task import Task
from ledger.task_words import HoldReason, ReleaseReason, Status
from worker.consumer import Worker
from worker.registry import Handler, Registry, load_registry, shipped_registry
from worker.roster import MemoryRoster

_SCHEDULER = Origin(actor="scheduler")
_FOLLOW_UPS = Origin(actor="follow-ups")
_LOOK_SECONDS = 0.05
_HEARTBEAT_SECONDS = 0.1
_MESSAGES_MAX = 1000


class JumpingClock(LedgerClock):
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self._time = datetime.now(UTC)

    def now(self) -> datetime:
        """Return the time."""
        return self._time

    def set(self, database_time: datetime, *, round_trip_seconds: float) -> None:
        """Stay as it is: what the worker's heartbeat reads is this very time."""

    def move_to(self, moment: datetime) -> None:
        """Move forward; a moment that has passed changes nothing."""
        self._time = max(self._time, moment)


class Prompter(Registry):
    """A registry that puts what a test has asked for in the place of the next handlers of a kind."""

    def __init__(self) -> None:
        super().__init__(fallback=shipped_registry())
        self._prompts: dict[str, deque[Handler]] = defaultdict(deque)

    def learn(self, app: str) -> None:
        """Look up what is not known here among what the module registers."""
        self._fallback = load_registry([app])

    def prompt(self, handler: Handler) -> None:
        """Run this one the next time."""
        self._prompts[handler.kind].append(handler)

    def find(self, kind: str) -> Handler:
        """Return the handler of a kind for one attempt."""
        return self._prompts[kind].popleft() if self._prompts[kind] else super().find(kind)


@dataclass(frozen=True, slots=True)
class _MemoryLedger:
    """A ledger as a worker needs it, without a database."""

    settings: Settings
    store: MemoryEventStore
    clock: LedgerClock
    policies: QueuePolicies = field(default_factory=no_policies)
    vault: PayloadVault = field(default_factory=no_vault)
    database: None = None


class Stage:
    """A ledger in memory; it belongs to no event loop between two runs."""

    def __init__(self) -> None:
        self.clock = JumpingClock()
        self.store = MemoryEventStore(now=self.clock.now)
        self.registry = Prompter()
        self.commands = TaskCommands(self.store, self.clock)
        self._broker = MemoryBroker()
        self._position = 0

    def tasks(self) -> list[Task]:
        """Return every task, in the order of their submission."""
        return [task for stream in self.store.streams() if (task := fold(stream)) is not None]

    async def go_on(self) -> bool:
        """Run what is ready, or else release what is due next; False when every task is at rest."""
        tasks = self.tasks()
        queues = {task.queue for task in tasks if _is_busy(task)}
        if queues:
            await self._work(sorted(queues))
            return True
        return await self._follow_up(tasks) or await self._release_next(tasks)

    async def _work(self, queues: Sequence[str]) -> None:
        settings = load_settings(worker_queues=",".join(queues), heartbeat_seconds=_HEARTBEAT_SECONDS)
        ledger = _MemoryLedger(settings, self.store, self.clock)
        worker = Worker(ledger, self._broker, self.registry, roster=MemoryRoster(self.store))
        run = asyncio.create_task(worker.run())
        try:
            async with self.store.appends() as appended:
                while any(_is_busy(task) and task.queue in queues for task in self.tasks()) and not run.done():
                    await self._relay()
                    await appended.wait(_LOOK_SECONDS)
            await worker.stop()
        finally:
            run.cancel()
            with suppress(asyncio.CancelledError):
                await run

    async def _relay(self) -> None:
        while events := await self.store.read_log(
            after=self._position, upto=await self.store.safe_position(), limit=_MESSAGES_MAX
        ):
            await self._broker.publish([outgoing(event) for event in events])
            self._position = events[-1].position

    async def _follow_up(self, tasks: Sequence[Task]) -> bool:
        standings = {
            event.task_id: Standing(task.status, event.event_id, event.position)
            for task in tasks
            if task.is_finished and (event := self.store.stream(task.id)[-1])
        }
        changed = False
        for task in tasks:
            if task.status is Status.PENDING and task.hold == HoldReason.AFTER:
                decided = await self.commands.decide(
                    task.id,
                    lambda one: _followed_up(one, standings, self.clock.now()),
                    origin=_FOLLOW_UPS,
                )
                changed = changed or decided.appended is not None
        return changed

    async def _release_next(self, tasks: Sequence[Task]) -> bool:
        waiting = [task for task in tasks if task.status is Status.PENDING and task.release_at is not None]
        due_at = min((task.release_at for task in waiting if task.release_at is not None), default=None)
        if due_at is None:
            return False
        self.clock.move_to(due_at)
        due = [task for task in waiting if task.release_at is not None and task.release_at <= due_at]
        for task in due:
            await self.commands.decide(task.id, self._release, origin=_SCHEDULER)
        return bool(due)

    def _release(self, task: Task) -> None:
        is_first_run = task.attempt == 0 and task.failures == 0
        reason = ReleaseReason.DUE if is_first_run else ReleaseReason.RETRY
        task.release(reason=reason, now=self.clock.now())


def _is_busy(task: Task) -> bool:
    return task.status is Status.RUNNING or (task.status is Status.PENDING and task.ready)


def _followed_up(task: Task, standings: Mapping[UUID, Standing], now: datetime) -> None:
    follow_up(task, standings, now=now)
