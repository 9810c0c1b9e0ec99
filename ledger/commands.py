"""The commands: load a task, let it decide, append what it decided; on a conflict, load and decide again."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from ledger.clock import Clock
from ledger.codec import SUBMITTED, encode_fields, encode_pending, fold, protected_data
from ledger.errors import InvalidValueError, TaskNotFoundError, TaskStateError, WrongExpectedVersionError
from ledger.payloads.cipher import PayloadCipher
from ledger.payloads.vault import PayloadVault, no_vault
from ledger.queues.policies import QueuePolicies
from ledger.specification import TaskSpecification, check_specification
from ledger.store.keys import IdempotencyKey, Once, UniqueKey
from ledger.store.port import EventStore
from ledger.store.records import Appended, FirstEvents, NewEvent, Origin, PayloadKey, StreamAppend
from ledger.task import FINISHED, Task

_CONFLICTS_MAX = 20
_DRAFTS_AT_ONCE = 200
_HEADS_AT_ONCE = 5000

Decision = Callable[[Task], None]


@dataclass(frozen=True, slots=True)
class Decided:
    """What a command left behind: the task as it now is, and the receipt; no receipt where nothing changed."""

    task: Task
    appended: Appended | None


class _First(NamedTuple):
    """The first event of a new task: JSON text, and what is kept beside it."""

    task_id: UUID
    data: str
    payload_key: PayloadKey | None = None


class TaskCommands:
    """Everything that a client or an operator can ask of a task.

    Args:
        policies: what is set for the queues; nothing if absent.
        vault: makes the keys of erasable tasks; without one there are none.
    """

    def __init__(
        self,
        store: EventStore,
        clock: Clock,
        policies: QueuePolicies | None = None,
        vault: PayloadVault | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._policies = policies
        self._vault = no_vault() if vault is None else vault

    async def submit(
        self,
        specification: TaskSpecification,
        *,
        origin: Origin,
        idempotency_key: IdempotencyKey | None = None,
        connection: asyncpg.Connection | None = None,
    ) -> Appended:
        """Record a new task and return its receipt; it is durable when this returns.

        With an idempotency key that was used for the same request, it returns the receipt of that time, marked
        `replayed`. While an unfinished task of its kind has the same unique key, it returns that one's receipt,
        marked `existing`. With a connection the task and its keys exist if and only if the caller's open
        transaction commits.

        Raises:
            InvalidValueError: a field of the specification is out of its bound.
            IdempotencyKeyReusedError: the key was used for another request.
            KeyInFlightError: the first request with the key has not ended yet.
            StoreRefusedError: the connection has no open transaction.
        """
        draft = self.draft(specification, origin=origin)
        if specification.after:
            await self._check_parents([specification], connection)
        if idempotency_key is None and specification.unique_key is None and draft.payload_key is None:
            return await self._store.append(
                draft.task_id, draft.events, expected_version=draft.expected_version, connection=connection
            )
        once = Once(idempotency_key, _unique_key(specification), draft.payload_key)
        return await self._store.append_once(
            draft.task_id, draft.events, expected_version=draft.expected_version, once=once, connection=connection
        )

    async def submit_many(
        self,
        specifications: Sequence[TaskSpecification],
        *,
        origin: Origin,
        connection: asyncpg.Connection | None = None,
    ) -> list[Appended]:
        """Record new tasks, all of them or none, and return their receipts in the same order.

        With a connection they exist if and only if the caller's open transaction commits.

        Raises:
            InvalidValueError: there are none, or a field of one is out of its bound, or it has a unique key; it
                says which one.
        """
        batch = self.batch(origin=origin)
        for index, specification in enumerate(specifications):
            try:
                _refuse_unique_key(specification)
                self.draft_in(batch, specification)
            except InvalidValueError as error:
                raise InvalidValueError(
                    field=f"specifications.{index}.{error.field}", bound=error.bound, value=error.value
                ) from error
            if index % _DRAFTS_AT_ONCE == 0:
                await asyncio.sleep(0)
        await self._check_parents(specifications, connection)
        return await self._store.append_first(batch, connection=connection)

    def draft(
        self, specification: TaskSpecification, *, origin: Origin, task_id: UUID | None = None
    ) -> StreamAppend:
        """Return the stream that a new task would begin with; nothing is recorded.

        Whether the tasks that it waits for exist is not looked at.

        Raises:
            InvalidValueError: a field of the specification is out of its bound.
        """
        now = self._clock.now()
        first = self._first(specification, now=now, task_id=task_id)
        event = NewEvent(
            type=SUBMITTED,
            schema_version=Task.Submitted.class_version,
            kind=specification.kind,
            queue=specification.queue,
            data=first.data,
            occurred_at=now,
            origin=origin,
        )
        return StreamAppend(first.task_id, (event,), 0, first.payload_key)

    def batch(self, *, origin: Origin) -> FirstEvents:
        """Return a batch with nothing in it yet; its tasks are submitted at this moment."""
        return FirstEvents(SUBMITTED, Task.Submitted.class_version, self._clock.now(), origin)

    def draft_in(
        self, batch: FirstEvents, specification: TaskSpecification, *, task_id: UUID | None = None
    ) -> None:
        """Add to a batch what a new task would begin with; raises what `draft` raises."""
        first = self._first(specification, now=batch.occurred_at, task_id=task_id)
        batch.add(first.task_id, kind=specification.kind, queue=specification.queue, data=first.data)
        if first.payload_key is not None:
            batch.payload_keys[first.task_id] = first.payload_key

    async def record(self, batch: FirstEvents) -> list[Appended]:
        """Record a batch, all of it or nothing, and return the receipts of its tasks in their order."""
        return await self._store.append_first(batch)

    async def unknown(
        self, task_ids: Collection[UUID], *, connection: asyncpg.Connection | None = None
    ) -> set[UUID]:
        """Return those of these tasks that do not exist."""
        known: set[UUID] = set()
        asked = list(task_ids)
        for first in range(0, len(asked), _HEADS_AT_ONCE):
            known.update(await self._store.heads(asked[first : first + _HEADS_AT_ONCE], connection=connection))
        return set(asked) - known

    async def cancel(self, task_id: UUID, *, reason: str, origin: Origin) -> Decided:
        """Cancel a pending task, or ask the worker of a running one to stop.

        Raises:
            TaskNotFoundError: there is no such task.
            TaskStateError: it is finished already.
        """
        return await self.decide(
            task_id,
            lambda task: task.request_cancel(actor=origin.actor, reason=reason, now=self._clock.now()),
            origin=origin,
        )

    async def retry(self, task_id: UUID, *, reason: str, origin: Origin) -> Decided:
        """Drive a finished task again.

        Raises:
            TaskNotFoundError: there is no such task.
            TaskStateError: it is not finished, or another unfinished task has its unique key.
        """
        return await self.decide(
            task_id,
            lambda task: task.retry(actor=origin.actor, reason=reason, now=self._clock.now()),
            origin=origin,
        )

    def _first(self, specification: TaskSpecification, *, now: datetime, task_id: UUID | None) -> _First:
        check_specification(specification)
        # A view of the policies that is a moment old does no harm: whoever claims the task looks again.
        hold = None if self._policies is None else self._policies.hold_of_new(specification.queue)
        is_erasable = self._vault.is_erasable(asked=specification.erasable)
        if is_erasable and not specification.erasable:
            specification = replace(specification, erasable=True)
        task_id = task_id or uuid7()
        data = encode_fields(Task.Submitted, Task.submission_fields(specification, now=now, hold=hold))
        if not is_erasable:
            return _First(task_id, data)
        key = self._vault.new_key(task_id, specification.tags)
        return _First(task_id, protected_data(SUBMITTED, data, key.cipher), key.kept)

    async def _check_parents(
        self, specifications: Sequence[TaskSpecification], connection: asyncpg.Connection | None
    ) -> None:
        parents = {parent for specification in specifications for parent in specification.after}
        if parents and (unknown := await self.unknown(parents, connection=connection)):
            raise InvalidValueError(field="after", bound="tasks that exist", value=str(min(unknown)))

    async def load(self, task_id: UUID) -> Task:
        """Return the task as its whole stream makes it; raises TaskNotFoundError where there is none."""
        task = fold(await self._store.read_stream(task_id))
        if task is None:
            raise TaskNotFoundError(task_id)
        return task

    async def decide(
        self, task_id: UUID, decision: Decision, *, origin: Origin, cipher: PayloadCipher | None = None
    ) -> Decided:
        """Let the task decide and append what it decided, as often as others get in between.

        The cipher seals what a handler said of an erasable task.

        Raises:
            TaskNotFoundError: there is no such task.
            WrongExpectedVersionError: others got in between every time.
            LedgerError: whatever the decision raises.
        """
        for _ in range(_CONFLICTS_MAX - 1):
            try:
                return await self._decide_once(task_id, decision, origin, cipher)
            except WrongExpectedVersionError:
                continue
        return await self._decide_once(task_id, decision, origin, cipher)

    async def _decide_once(
        self, task_id: UUID, decision: Decision, origin: Origin, cipher: PayloadCipher | None
    ) -> Decided:
        stream = await self._store.read_stream(task_id)
        task = fold(stream)
        if task is None:
            raise TaskNotFoundError(task_id)
        return await self.append_decision(task, decision, origin=origin.within(stream), cipher=cipher)

    async def append_decision(
        self, task: Task, decision: Decision, *, origin: Origin, cipher: PayloadCipher | None = None
    ) -> Decided:
        """Let a loaded task decide and append once; raises WrongExpectedVersionError when it was out of date.

        A decision that makes a finished task go on takes its unique key again, or raises TaskStateError.
        """
        before = task.status
        decision(task)
        expected_version, events = encode_pending(task, origin=origin, cipher=cipher)
        if not events:
            return Decided(task, None)
        if task.unique_key is None or before not in FINISHED or task.is_finished:
            appended = await self._store.append(task.id, events, expected_version=expected_version)
            return Decided(task, appended)
        once = Once(unique_key=_unique_key(task))
        appended = await self._store.append_once(task.id, events, expected_version=expected_version, once=once)
        if appended.existing:
            reason = f"task {appended.task_id} is unfinished and has the same unique key"
            raise TaskStateError(task_id=task.id, command="retry", status=before, reason=reason)
        return Decided(task, appended)


def _unique_key(task: Task | TaskSpecification) -> UniqueKey | None:
    return None if task.unique_key is None else UniqueKey(task.kind, task.unique_key)


def _refuse_unique_key(specification: TaskSpecification) -> None:
    # Whoever has the key already would be the receipt of one task, and the others would be recorded all the same.
    if specification.unique_key is not None:
        raise InvalidValueError(field="unique_key", bound="absent among many", value=specification.unique_key)
