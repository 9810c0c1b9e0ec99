"""The acts: what a person or a bulk act does about one dead letter.

About a task, its stream says it: Retried or Discarded, with the actor. About a message, a row that never changes
says it, once for all; where a task still waits for the message, Released says it too, in the same transaction.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import asyncpg

from ledger.bootstrap import Ledger
from ledger.codec import encode_pending
from ledger.commands import Decision
from ledger.dead_letters.letters import Act, DeadMessage, LetterKind
from ledger.dead_letters.reader import DeadLetterReader
from ledger.errors import (
    DeadLetterNotFoundError,
    DeadLetterStateError,
    InvalidValueError,
    TaskNotFoundError,
    WrongExpectedVersionError,
)
from ledger.queries import query
from ledger.store.records import Appended, Origin
from ledger.task import Task
from ledger.task_words import ReleaseReason, Status

REASON_CHARS_MAX = 1000
_TRIES_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """Who acts, and why; `bulk_id` where a bulk act does."""

    reason: str
    origin: Origin
    bulk_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActTaken:
    """The receipt of an act; `appended` is where its event stands, where it is one of a task."""

    letter_id: UUID
    kind: LetterKind
    act: Act
    task_id: UUID | None
    appended: Appended | None


class DeadLetterActs:
    """Redrives and discards dead letters one by one."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._reader = DeadLetterReader(ledger)

    async def redrive(self, letter_id: UUID, intent: Intent) -> ActTaken:
        """Retry a failed task, or release the pending task that a message was about.

        Raises:
            DeadLetterNotFoundError: there is no such letter.
            DeadLetterStateError: it is dealt with already, or there is nothing to redrive.
            InvalidValueError: the reason is out of its bound.
        """
        return await self.act(Act.REDRIVEN, letter_id, intent)

    async def discard(self, letter_id: UUID, intent: Intent) -> ActTaken:
        """Set a dead letter aside as dealt with; it needs a reason.

        Raises:
            DeadLetterNotFoundError: there is no such letter.
            DeadLetterStateError: it is dealt with already.
            InvalidValueError: the reason is out of its bound.
        """
        return await self.act(Act.DISCARDED, letter_id, intent)

    async def act(self, act: Act, letter_id: UUID, intent: Intent) -> ActTaken:
        """Redrive or discard a dead letter; raises what these raise."""
        check_reason(act, intent.reason)
        message = await self._reader.message(letter_id)
        if message is None:
            return await self._decide(letter_id, act, intent)
        if act is Act.REDRIVEN:
            return await self._redrive_message(message, intent)
        async with self._ledger.database.connection() as connection:
            await _record(connection, message, act, intent)
        return _taken(message, act, None)

    def decision(self, act: Act, intent: Intent) -> Decision:
        """Return what to decide about a failed task; it raises DeadLetterStateError for any other."""

        def decide(task: Task) -> None:
            _require_dead(task, act)
            command = task.retry if act is Act.REDRIVEN else task.discard
            command(actor=intent.origin.actor, reason=intent.reason, now=self._ledger.clock.now())

        return decide

    async def _decide(self, task_id: UUID, act: Act, intent: Intent) -> ActTaken:
        decision = self.decision(act, intent)
        try:
            decided = await self._ledger.commands.decide(task_id, decision, origin=intent.origin)
        except TaskNotFoundError as error:
            raise DeadLetterNotFoundError(task_id) from error
        return ActTaken(
            letter_id=task_id, kind=LetterKind.TASK, act=act, task_id=task_id, appended=decided.appended
        )

    async def _redrive_message(self, message: DeadMessage, intent: Intent) -> ActTaken:
        # The message itself is never published again: the event of one of ours is in the ledger, and is announced
        # anew by the Released; a worker would only reject again what is none of ours.
        if message.acted is not None:
            raise _refusal(message, Act.REDRIVEN, f"it was {message.acted.act} by {message.acted.actor}")
        if message.task_id is None:
            raise _refusal(
                message, Act.REDRIVEN, "it is no message of this ledger, only discarding it makes sense"
            )
        for _ in range(_TRIES_MAX):
            try:
                task = await self._ledger.commands.load(message.task_id)
                return _taken(message, Act.REDRIVEN, await self._release(task, message, intent))
            except TaskNotFoundError as error:
                reason = f"its task {message.task_id} is not in this ledger, only discarding it makes sense"
                raise _refusal(message, Act.REDRIVEN, reason) from error
            except WrongExpectedVersionError:
                continue
        raise _refusal(message, Act.REDRIVEN, f"its task {message.task_id} is busy")

    async def _release(self, task: Task, message: DeadMessage, intent: Intent) -> Appended:
        if task.status is not Status.PENDING:
            raise _refusal(message, Act.REDRIVEN, f"its task {task.id} is {task.status} and waits for no message")
        if not task.ready:
            reason = f"its task {task.id} is not ready, and gets a message of its own when it is"
            raise _refusal(message, Act.REDRIVEN, reason)
        task.release(reason=ReleaseReason.REDRIVEN, now=self._ledger.clock.now())
        expected_version, events = encode_pending(task, origin=intent.origin)
        async with self._ledger.database.connection() as connection, connection.transaction():
            await _record(connection, message, Act.REDRIVEN, intent)
            return await self._ledger.store.append(
                task.id, events, expected_version=expected_version, connection=connection
            )


def check_reason(act: StrEnum, reason: str) -> None:
    """Raise InvalidValueError where the reason of an act is too long, or missing where it is needed."""
    if len(reason) > REASON_CHARS_MAX or "\0" in reason:
        bound = f"at most {REASON_CHARS_MAX} characters, none of them NUL"
        raise InvalidValueError(field="reason", bound=bound, value=reason)
    if act is Act.DISCARDED and not reason.strip():
        raise InvalidValueError(field="reason", bound="given, and not blank", value=reason)


_VERBS = {Act.REDRIVEN: "redrive", Act.DISCARDED: "discard"}


def _require_dead(task: Task, act: Act) -> None:
    if task.status is not Status.FAILED:
        reason = f"the task is {task.status}, not FAILED"
        raise DeadLetterStateError(letter_id=task.id, act=_VERBS[act], reason=reason)
    if task.discarded:
        raise DeadLetterStateError(letter_id=task.id, act=_VERBS[act], reason="it was discarded already")


async def _record(connection: asyncpg.Connection, message: DeadMessage, act: Act, intent: Intent) -> None:
    recorded = await connection.fetchval(
        query("record_dead_letter_act"), message.id, act, intent.origin.actor, intent.reason, intent.bulk_id
    )
    if recorded is None:
        raise _refusal(message, act, "somebody has dealt with it already")


def _refusal(message: DeadMessage, act: Act, reason: str) -> DeadLetterStateError:
    return DeadLetterStateError(letter_id=message.id, act=_VERBS[act], reason=reason)


def _taken(message: DeadMessage, act: Act, appended: Appended | None) -> ActTaken:
    return ActTaken(
        letter_id=message.id, kind=LetterKind.MESSAGE, act=act, task_id=message.task_id, appended=appended
    )
