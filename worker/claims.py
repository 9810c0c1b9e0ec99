"""The claims: a message is a hint, the append of Started is the permission."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import structlog

from ledger.clock import Clock
from ledger.codec import encode_pending, fold
from ledger.errors import (
    MalformedMessageError,
    PayloadKeyMissingError,
    StoreRefusedError,
    StoreUnavailableError,
    TaskNotFoundError,
    TaskStateError,
    WrongExpectedVersionError,
)
from ledger.payloads.cipher import Cipher, Clear, PayloadCipher
from ledger.queues.policies import QueuePolicies
from ledger.store.port import EventStore
from ledger.store.records import Origin, RecordedEvent
from ledger.task import Task
from ledger.task_words import HoldReason, Status
from worker.store_outage import StoreOutage

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """The permission to run one attempt of a task.

    Attributes:
        task: as it was when the attempt was started.
        attempt: the number that fences whatever the attempt writes.
        version: of the Started event.
        worker_id: whose attempt it is.
        origin: of whatever the attempt writes; its cause is the Started event.
        cipher: of an erasable task; None for any other, and where its key cannot be had.
        locked: why that is so.
    """

    task: Task
    attempt: int
    version: int
    worker_id: str
    origin: Origin
    cipher: Cipher | None = None
    locked: PayloadKeyMissingError | None = None

    @property
    def seals(self) -> PayloadCipher | None:
        """What the outcome is sealed by; without the key no handler ran, so there is nothing to hide."""
        return self.cipher if self.locked is None else Clear()

    def wrote(self, event: RecordedEvent) -> bool:
        """Say whether this attempt wrote an event of its task."""
        return (
            event.version > self.version
            and event.actor == self.origin.actor
            and event.causation_id == self.origin.causation_id
        )


class Claims:
    """Claims tasks for one worker.

    Args:
        policies: what is set for the queues; a ready task that its queue holds back goes back to wait.
        is_running: whether this process runs the attempt of a task already.
    """

    def __init__(
        self,
        store: EventStore,
        clock: Clock,
        outage: StoreOutage,
        *,
        policies: QueuePolicies,
        worker_id: UUID,
        is_running: Callable[[UUID, int], bool],
    ) -> None:
        self._store = store
        self._clock = clock
        self._outage = outage
        self._policies = policies
        self._worker_id = str(worker_id)
        self._actor = f"worker:{worker_id}"
        self._is_running = is_running

    async def claim(self, hint: RecordedEvent) -> Claim | None:
        """Start the task that became ready; None where it is not for us: started by another, cancelled, held back.

        While the database is away this waits, so the delivery stays unsettled.

        Raises:
            MalformedMessageError: the hint says that it is a submit, and is none.
            UnknownEventTypeError: an event of the task is of a later release.
        """
        task = _just_submitted(hint)
        in_doubt = False
        while True:  # each conflict means that somebody else appended, so this ends
            try:
                if task is None:
                    task = await self._load(hint.task_id)
                    if in_doubt and self._is_ours(task):
                        return self._claimed(task, hint)
                await self._policies.freshen()
                hold = self._policies.hold_of(task) if task.ready else None
                if hold is not None:
                    await self._hold_back(task, hint, hold)
                    return None
                return await self._start(task, hint)
            except WrongExpectedVersionError:
                task = None
            except TaskStateError as refusal:
                log.debug("delivery.stale", task_id=str(hint.task_id), reason=str(refusal))
                return None
            except TaskNotFoundError:
                # The database was restored to a moment before the task; then the task is not.
                log.warning("delivery.unknown_task", task_id=str(hint.task_id), version=hint.version)
                return None
            except (StoreUnavailableError, StoreRefusedError) as error:
                task, in_doubt = None, True
                await self._outage.sit_out(error)

    async def _start(self, task: Task, hint: RecordedEvent) -> Claim:
        task.start(worker_id=self._worker_id, now=self._clock.now())
        expected_version, events = encode_pending(task, origin=self._origin(hint, hint.event_id))
        await self._store.append(task.id, events, expected_version=expected_version)
        self._outage.end()
        return self._claimed(task, hint)

    async def _hold_back(self, task: Task, hint: RecordedEvent, reason: HoldReason) -> None:
        task.hold_back(reason=reason, now=self._clock.now())
        expected_version, events = encode_pending(task, origin=self._origin(hint, hint.event_id))
        await self._store.append(task.id, events, expected_version=expected_version)
        self._outage.end()

    async def _load(self, task_id: UUID) -> Task:
        task = fold(await self._store.read_stream(task_id))
        if task is None:
            raise TaskNotFoundError(task_id)
        return task

    def _is_ours(self, task: Task) -> bool:
        # The append whose answer was lost has happened, unless that was another delivery of the same task.
        return (
            task.status is Status.RUNNING
            and task.worker_id == self._worker_id
            and not self._is_running(task.id, task.attempt)
        )

    def _claimed(self, task: Task, hint: RecordedEvent) -> Claim:
        version = task.version
        return Claim(
            task=task,
            attempt=task.attempt,
            version=version,
            worker_id=self._worker_id,
            origin=self._origin(hint, f"{task.id}:{version}"),
        )

    def _origin(self, hint: RecordedEvent, causation_id: str) -> Origin:
        return Origin(
            actor=self._actor,
            correlation_id=hint.correlation_id,
            causation_id=causation_id,
            traceparent=hint.traceparent,
        )


def _just_submitted(hint: RecordedEvent) -> Task | None:
    # A task that was just submitted is that one event: it is known without a read.
    if hint.type != "task.submitted" or hint.version != 1:
        return None
    try:
        return fold([hint])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MalformedMessageError(f"{type(error).__name__}: {error}") from error
