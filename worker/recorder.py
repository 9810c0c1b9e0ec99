"""The recorder: appends the outcome of an attempt once, and keeps what the ledger refuses as evidence."""

import structlog

from ledger.clock import Clock
from ledger.codec import encode_pending, fold, secret_field_of
from ledger.errors import (
    InvalidValueError,
    StaleAttemptError,
    StoreRefusedError,
    StoreUnavailableError,
    TaskStateError,
    WrongExpectedVersionError,
)
from ledger.jsonvalue import encode_json
from ledger.payloads.cipher import sealed_data
from ledger.store.port import EventStore
from ledger.store.records import StaleWrite
from ledger.task import Task
from worker.claims import Claim
from worker.outcomes import Cancellation, Failure, Outcome, Success, hopeless, interruption
from worker.results import event_bytes_max, refusal_of
from worker.store_outage import StoreOutage

log = structlog.get_logger()

_OUTCOMES = frozenset({Success.topic, Failure.topic, Cancellation.topic})


class Recorder:
    """Records the outcomes of one worker's attempts."""

    def __init__(self, store: EventStore, clock: Clock, outage: StoreOutage, *, result_bytes_max: int) -> None:
        self._store = store
        self._clock = clock
        self._outage = outage
        self._result_bytes_max = result_bytes_max

    async def record(self, claim: Claim, outcome: Outcome, *, is_in_doubt: bool = False) -> None:
        """Append the outcome, however long the database is away: the attempt is fenced, so late does no harm.

        The outcome of an attempt that no longer owns its task is refused and kept among the stale writes. Where
        it is in doubt whether the handler recorded one by itself, that one counts if it is there.
        """
        # Who asked for the cancel stands in an event that the task as it was claimed does not know.
        known = None if is_in_doubt or isinstance(outcome, Cancellation) else claim.task
        while True:  # each conflict means that somebody else appended, so this ends
            try:
                if known is None:
                    rows = await self._store.read_stream(claim.task.id)
                    if any(row.type in _OUTCOMES and claim.wrote(row) for row in rows):
                        # By a try whose answer was lost, or by the handler, whose commit woke nobody.
                        self._store.wake_readers()
                        return None
                    known = fold(rows)
                return await self._record(known, claim, outcome)
            except (StoreUnavailableError, StoreRefusedError) as error:
                await self._outage.sit_out(error)
            except WrongExpectedVersionError:
                pass
            except InvalidValueError as error:
                outcome = self._unfit(outcome, error)
            except TaskStateError:
                outcome = interruption()  # nobody asked for the cancel, as the stream now is
            known = None

    async def record_late(self, claim: Claim, outcome: Outcome) -> None:
        """Refuse what an abandoned handler came up with after its attempt had its outcome."""
        while True:
            try:
                return await self._refuse_late(claim, outcome)
            except (StoreUnavailableError, StoreRefusedError) as error:
                await self._outage.sit_out(error)

    async def _refuse_late(self, claim: Claim, outcome: Outcome) -> None:
        task = fold(await self._store.read_stream(claim.task.id))
        if task is not None:
            staleness = StaleAttemptError(
                task_id=task.id, attempt=claim.attempt, current_attempt=task.attempt, status=task.status
            )
            await self._refuse(claim, outcome, staleness)

    async def _record(self, task: Task | None, claim: Claim, outcome: Outcome) -> None:
        if task is None:
            log.warning("attempt.unknown_task", task_id=str(claim.task.id), attempt=claim.attempt)
            return
        try:
            outcome.decide(task, attempt=claim.attempt, now=self._clock.now())
        except StaleAttemptError as refusal:
            await self._refuse(claim, outcome, refusal)
            return
        bytes_max = self._bytes_max(claim, outcome)
        expected_version, events = encode_pending(
            task, origin=claim.origin, bytes_max=bytes_max, cipher=claim.seals
        )
        await self._store.append(task.id, events, expected_version=expected_version)
        self._outage.end()

    async def _refuse(self, claim: Claim, outcome: Outcome, refusal: StaleAttemptError) -> None:
        await self._store.record_stale_write(
            StaleWrite(
                task_id=claim.task.id,
                type=outcome.topic,
                attempt=claim.attempt,
                current_attempt=refusal.current_attempt,
                status=refusal.status,
                worker_id=claim.worker_id,
                data=self._evidence(claim, outcome),
                occurred_at=self._clock.now(),
            )
        )
        log.warning(
            "attempt.stale_write",
            task_id=str(claim.task.id),
            attempt=claim.attempt,
            type=outcome.topic,
            current_attempt=refusal.current_attempt,
            status=refusal.status,
        )

    def _evidence(self, claim: Claim, outcome: Outcome) -> str:
        values = outcome.as_dict(claim.attempt)
        try:
            data = encode_json(values, field="result", bytes_max=self._bytes_max(claim, outcome))
        except InvalidValueError as error:
            return self._evidence(claim, self._unfit(outcome, error))
        field = secret_field_of(outcome.topic)
        if claim.seals is None or field is None:
            return data
        return sealed_data(data, field=field, cipher=claim.seals)

    def _bytes_max(self, claim: Claim, outcome: Outcome) -> int | None:
        # A failure's texts have their own bounds.
        return event_bytes_max(claim.attempt, self._result_bytes_max) if isinstance(outcome, Success) else None

    def _unfit(self, outcome: Outcome, error: InvalidValueError) -> Outcome:
        if not isinstance(outcome, Success):
            raise error  # whatever a failure says was made fit before
        return hopeless(refusal_of(error, outcome.result, self._result_bytes_max))
