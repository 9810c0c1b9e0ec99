"""The bulk chore: works off the bulk acts, at their rate, whoever is killed when.

    list below the last place ─▶ note what is under way ─▶ act on each letter ─▶ count, and note that it is done

What is under way is noted before anything is done about it. Whoever finds it there after a kill acts on it again:
a letter upon which this bulk act has acted already says so itself (the cause of its event, the row of the act), is
left alone and is counted. So nothing is done twice and each letter is counted once. What dies after a bulk act was
asked for is none of its letters, so that one that fails again does not go round in circles.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import structlog

from ledger.bootstrap import Ledger
from ledger.codec import fold
from ledger.dead_letters.acts import DeadLetterActs
from ledger.dead_letters.bulk_acts import BulkAct, BulkState, bulk_act_of, causation_of
from ledger.dead_letters.letters import TOP, ListedLetter
from ledger.dead_letters.pace import Pace
from ledger.dead_letters.reader import DeadLetterReader
from ledger.errors import (
    DeadLetterStateError,
    StoreRefusedError,
    StoreUnavailableError,
    TaskStateError,
    WrongExpectedVersionError,
)
from ledger.queries import query
from ledger.store.records import RecordedEvent

log = structlog.get_logger()

_BULK_ACTS_MAX = 100


class BulkChore:
    """Acts upon as many letters as is due; any number of them may run, a letter is acted upon once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._reader = DeadLetterReader(ledger)
        self._acts = DeadLetterActs(ledger)

    async def run_once(self, now: datetime | None = None) -> int:
        """Go on with every bulk act as far as its rate permits, and return how many letters that were.

        Args:
            now: the database's time; the ledger's clock tells it if absent.
        """
        async with self._ledger.database.connection() as connection:
            rows = await connection.fetch(query("unfinished_bulk_acts"), _BULK_ACTS_MAX)
        moment = self._ledger.clock.now() if now is None else now
        return sum([await self._go_on(bulk_act_of(row), moment) for row in rows])

    async def take(self, bulk: BulkAct, now: datetime) -> BulkAct | None:
        """Note the next letters as under way, as many as are due; None where none are, or another was faster."""
        pace = Pace(bulk.rate_per_s)
        due = pace.due(paid_until=bulk.paid_until, now=now)
        if due == 0:
            return None
        left = due if bulk.letters_max is None else min(due, bulk.letters_max - bulk.acted)
        page = await self._page(bulk, left) if left > 0 else ()
        if not page:
            await self._end(bulk)
            return None
        ids, below = tuple(letter.id for letter in page), page[-1].place
        paid_until = pace.paid(len(page), paid_until=bulk.paid_until, now=now)
        taken = await self._set("take_letters", bulk.bulk_id, bulk.paid_until, ids, *below, paid_until)
        return replace(bulk, under_way=ids, below=below, paid_until=paid_until) if taken else None

    async def _go_on(self, bulk: BulkAct, now: datetime) -> int:
        taken = bulk if bulk.under_way else await self.take(bulk, now)
        if taken is None:
            return 0
        acted = await self._act(taken)
        skipped = len(taken.under_way) - acted
        await self._set("settle_letters", taken.bulk_id, taken.under_way, acted, skipped)
        return len(taken.under_way)

    async def _page(self, bulk: BulkAct, limit: int) -> Sequence[ListedLetter]:
        before = bulk.letters.died_before
        upto = bulk.upto if before is None else min(before, bulk.upto)
        return await self._reader.page(
            replace(bulk.letters, died_before=upto), below=bulk.below or TOP, limit=limit
        )

    async def _end(self, bulk: BulkAct) -> None:
        if await self._set("end_bulk_act", bulk.bulk_id):
            log.info(
                "bulk_act.done", bulk_id=str(bulk.bulk_id), act=bulk.act, acted=bulk.acted, skipped=bulk.skipped
            )

    async def _act(self, bulk: BulkAct) -> int:
        """Act upon what is under way and return upon how many of these letters it has acted, now or before."""
        messages = await self._reader.messages_among(bulk.under_way)
        tasks = [letter_id for letter_id in bulk.under_way if letter_id not in messages]
        streams = await self._ledger.store.read_streams(tasks)
        outcomes = await asyncio.gather(
            *(self._act_on_task(bulk, stream) for stream in streams.values()), return_exceptions=True
        )
        outcomes += [await self._act_on_message(bulk, letter_id) for letter_id in messages]
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return sum(outcome is True for outcome in outcomes)

    async def _act_on_task(self, bulk: BulkAct, stream: Sequence[RecordedEvent]) -> bool:
        if _has_acted(bulk, stream):
            return True
        try:
            return await self._decide(bulk, stream)
        except (DeadLetterStateError, TaskStateError):
            return False
        except WrongExpectedVersionError:  # perhaps another scheduler was faster, with this same bulk act
            return _has_acted(bulk, await self._ledger.store.read_stream(stream[0].task_id))
        except (StoreUnavailableError, StoreRefusedError):
            raise
        except Exception:  # one task that this release cannot read must not keep the others waiting
            log.exception("bulk_act.undecidable", task_id=str(stream[0].task_id), position=stream[-1].position)
            return False

    async def _decide(self, bulk: BulkAct, stream: Sequence[RecordedEvent]) -> bool:
        task = fold(stream)
        is_its_letter = task is not None and task.finished_at is not None and task.finished_at < bulk.upto
        if task is None or not is_its_letter or bulk.state is not BulkState.RUNNING:
            return False
        decision = self._acts.decision(bulk.act, bulk.intent)
        await self._ledger.commands.append_decision(task, decision, origin=bulk.intent.origin.within(stream))
        return True

    async def _act_on_message(self, bulk: BulkAct, letter_id: UUID) -> bool:
        if bulk.state is BulkState.RUNNING:
            with suppress(DeadLetterStateError):
                await self._acts.act(bulk.act, letter_id, bulk.intent)
        message = await self._reader.message(letter_id)
        return message is not None and message.acted is not None and message.acted.bulk_id == bulk.bulk_id

    async def _set(self, name: str, *arguments: object) -> bool:
        async with self._ledger.database.connection() as connection:
            return await connection.fetchval(query(name), *arguments) is not None


def _has_acted(bulk: BulkAct, stream: Sequence[RecordedEvent]) -> bool:
    cause = causation_of(bulk.bulk_id)
    return any(event.causation_id == cause for event in stream)
