"""Decisions about many tasks at once: read their streams, let each task decide, append concurrently.

The appends of a batch wait together, so the group commit sends them as a few statements. Where somebody else
gets in between, the task is left alone: whoever asked looks again anyway.
"""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from ledger.bootstrap import Ledger
from ledger.codec import fold
from ledger.commands import Decision
from ledger.errors import (
    StaleAttemptError,
    StoreRefusedError,
    StoreUnavailableError,
    TaskStateError,
    WrongExpectedVersionError,
)
from ledger.store.records import Origin, RecordedEvent

log = structlog.get_logger()

_REMEMBERED_MAX = 20_000


class BatchDecider:
    """Decides about what a query of the read model found.

    The read model lags behind, so it decides only about a task whose stream is still where the read model saw it,
    and about each version of a task once: a row that is merely late costs nothing when it is found again.
    """

    def __init__(self, ledger: Ledger, *, actor: str) -> None:
        self._ledger = ledger
        self._origin = Origin(actor=actor)
        self._remembered: dict[UUID, int] = {}

    async def decide(self, found: Mapping[UUID, int], decision: Decision) -> int:
        """Let each task decide that is at the version at which it was found; return how many changed.

        Raises:
            StoreUnavailableError: the database is out of reach; some of the tasks may have changed.
            StoreRefusedError: the database refused an append; the others went on.
        """
        fresh = {task: version for task, version in found.items() if self._remembered.get(task) != version}
        if not fresh:
            return 0
        streams = await self._ledger.store.read_streams(list(fresh))
        current = [stream for task, stream in streams.items() if stream[-1].version == fresh[task]]
        changed = await self._decide_all(current, decision)
        self._remember(fresh)
        return changed

    async def decide_whatever_version(self, task_ids: Sequence[UUID], decision: Decision) -> int:
        """Let each task decide as it now stands; return how many changed; raises what `decide` raises."""
        streams = await self._ledger.store.read_streams(task_ids)
        return await self._decide_all(list(streams.values()), decision)

    async def _decide_all(self, streams: Sequence[Sequence[RecordedEvent]], decision: Decision) -> int:
        outcomes = await asyncio.gather(
            *(self._decide_one(stream, decision) for stream in streams), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return sum(outcome is True for outcome in outcomes)

    async def _decide_one(self, stream: Sequence[RecordedEvent], decision: Decision) -> bool:
        try:
            task = fold(stream)
            if task is None:
                return False
            origin = self._origin.within(stream)
            decided = await self._ledger.commands.append_decision(task, decision, origin=origin)
        except (WrongExpectedVersionError, TaskStateError, StaleAttemptError):
            return False
        except (StoreUnavailableError, StoreRefusedError):
            raise
        except Exception:  # one task that this release cannot read must not keep the others waiting
            log.exception("task.undecidable", task_id=str(stream[0].task_id), position=stream[-1].position)
            return False
        return decided.appended is not None

    def _remember(self, found: Mapping[UUID, int]) -> None:
        self._remembered.update(found)
        for task in list(self._remembered)[: max(0, len(self._remembered) - _REMEMBERED_MAX)]:
            del self._remembered[task]
