"""Dead letters as the subject of a bulk act: the tasks that failed, and the messages that nobody could take."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

from ledger.bootstrap import Ledger
from ledger.bulk_acts.bulk_act import BulkAct, BulkState
from ledger.bulk_acts.subject import act_on_tasks
from ledger.commands import Decision
from ledger.dead_letters.acts import DeadLetterActs
from ledger.dead_letters.letters import TOP, Act, DeadLetterFilter, Place
from ledger.dead_letters.reader import DeadLetterReader
from ledger.errors import DeadLetterStateError
from ledger.task import Task


class LetterSubject:
    """The dead letters that a filter finds."""

    def __init__(self, ledger: Ledger, letters: DeadLetterFilter) -> None:
        self._ledger = ledger
        self._letters = letters
        self._reader = DeadLetterReader(ledger)
        self._acts = DeadLetterActs(ledger)

    async def count(self) -> int:
        """Return how many there are."""
        return await self._reader.count(self._letters)

    async def page(self, bulk: BulkAct, *, limit: int) -> Sequence[Place]:
        """Return the next ones; what died later is none of them, so that none goes round in circles."""
        before = self._letters.died_before
        upto = bulk.upto if before is None else min(before, bulk.upto)
        letters = replace(self._letters, died_before=upto)
        return [one.place for one in await self._reader.page(letters, below=bulk.below or TOP, limit=limit)]

    async def act(self, bulk: BulkAct) -> int:
        """Act upon what is under way; a message upon which it has acted says so itself, in the row of the act."""
        act = Act(bulk.act)
        messages = await self._reader.messages_among(bulk.under_way)
        tasks = [letter_id for letter_id in bulk.under_way if letter_id not in messages]
        acted = await act_on_tasks(self._ledger, bulk, tasks, lambda task: self._decision(bulk, act, task))
        return acted + sum([await self._act_on_message(bulk, act, letter_id) for letter_id in messages])

    def _decision(self, bulk: BulkAct, act: Act, task: Task) -> Decision | None:
        is_its_letter = task.finished_at is not None and task.finished_at < bulk.upto
        return self._acts.decision(act, bulk.intent) if is_its_letter else None

    async def _act_on_message(self, bulk: BulkAct, act: Act, letter_id: UUID) -> bool:
        if bulk.state is BulkState.RUNNING:
            with suppress(DeadLetterStateError):
                await self._acts.act(act, letter_id, bulk.intent)
        message = await self._reader.message(letter_id)
        return message is not None and message.acted is not None and message.acted.bulk_id == bulk.bulk_id
