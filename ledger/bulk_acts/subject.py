"""The subject of a bulk act: finds what it is about, and acts upon it, each once."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

import structlog

from ledger.bootstrap import Ledger
from ledger.bulk_acts.bulk_act import BulkAct, BulkState, causation_of
from ledger.codec import fold
from ledger.commands import Decision
from ledger.dead_letters.letters import Place
from ledger.errors import (
    DeadLetterStateError,
    StoreRefusedError,
    StoreUnavailableError,
    TaskStateError,
    WrongExpectedVersionError,
)
from ledger.store.records import RecordedEvent
from ledger.task import Task

log = structlog.get_logger()

_TRIES_MAX = 5

# Returns what to decide about a task; None where it is not meant (any more).
Choose = Callable[[Task], Decision | None]


class Subject(Protocol):
    """What a bulk act is about: dead letters, or tasks."""

    async def count(self) -> int:
        """Return how many there are."""

    async def page(self, bulk: BulkAct, *, limit: int) -> Sequence[Place]:
        """Return the next ones below where the bulk act has come to, of those there were when it was asked for."""

    async def act(self, bulk: BulkAct) -> int:
        """Act upon what is under way, and return upon how many of these it has acted, now or before."""


async def act_on_tasks(ledger: Ledger, bulk: BulkAct, task_ids: Sequence[UUID], choose: Choose) -> int:
    """Let each task decide once for a bulk act; return how many have, now or before.

    Where somebody gets in between, as the progress of a running task does again and again, it is asked again.
    """
    streams = await ledger.store.read_streams(task_ids)
    outcomes = await asyncio.gather(
        *(_act_on(ledger, bulk, stream, choose) for stream in streams.values()), return_exceptions=True
    )
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return sum(outcome is True for outcome in outcomes)


async def _act_on(ledger: Ledger, bulk: BulkAct, stream: Sequence[RecordedEvent], choose: Choose) -> bool:
    try:
        for _ in range(_TRIES_MAX):
            if _has_acted(bulk, stream):  # before a kill; or another scheduler was faster, with this same bulk act
                return True
            try:
                return await _decide(ledger, bulk, stream, choose)
            except WrongExpectedVersionError:
                stream = await ledger.store.read_stream(stream[0].task_id)
    except (DeadLetterStateError, TaskStateError):
        return False
    except (StoreUnavailableError, StoreRefusedError):
        raise
    except Exception:  # one task that this release cannot read must not keep the others waiting
        log.exception("bulk_act.undecidable", task_id=str(stream[0].task_id), position=stream[-1].position)
    return False


async def _decide(ledger: Ledger, bulk: BulkAct, stream: Sequence[RecordedEvent], choose: Choose) -> bool:
    task = fold(stream)
    if task is None or bulk.state is not BulkState.RUNNING or (decision := choose(task)) is None:
        return False
    await ledger.commands.append_decision(task, decision, origin=bulk.intent.origin.within(stream))
    return True


def _has_acted(bulk: BulkAct, stream: Sequence[RecordedEvent]) -> bool:
    cause = causation_of(bulk.bulk_id)
    return any(event.causation_id == cause for event in stream)
