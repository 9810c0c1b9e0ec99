"""A batch of submissions as it is read: item by item into drafts, with what is wrong with each of them."""

import asyncio
from collections.abc import Iterator
from uuid import UUID

from pydantic import ValidationError

from api.batch_refs import Refs
from api.errors import InvalidBatchError, InvalidRequestError, ItemError, Part
from api.intake import Intake, task_id_in
from api.schemas import BatchItem
from api.validation import field_of, sentence_of
from ledger.bootstrap import Ledger
from ledger.errors import InvalidValueError
from ledger.store.records import FirstEvents, Origin

_ERRORS_SHOWN_MAX = 100
_ITEMS_AT_ONCE = 50
_BYTES_AT_ONCE = 65_536


class Batch:
    """One batch. What an item is parsed into is gone when its draft is made: text takes the least memory."""

    def __init__(self, ledger: Ledger, intake: Intake, *, origin: Origin) -> None:
        self._settings = ledger.settings
        self._commands = ledger.commands
        self._intake = intake
        self._count = 0
        self._drafts = ledger.commands.batch(origin=origin)
        self._refs = Refs()
        self._parents: dict[UUID, int] = {}
        self._errors: list[ItemError] = []
        self._errors_count = 0

    async def read(self, items: Iterator[bytes]) -> FirstEvents:
        """Return what each item's task begins with, in their order, and let other requests have turns meanwhile.

        Raises:
            InvalidBatchError: items are not valid.
            InvalidRequestError: there are none, or too many.
            StoreUnavailableError: the database is out of reach.
        """
        room = _BYTES_AT_ONCE
        for item in items:
            self._add(item)
            room -= max(len(item), _BYTES_AT_ONCE // _ITEMS_AT_ONCE)
            if room <= 0:
                room = _BYTES_AT_ONCE
                await asyncio.sleep(0)
        if not self._count:
            raise self._wrong_count("none")
        await self._check_parents()
        if self._errors:
            raise InvalidBatchError(sorted(self._errors, key=lambda error: error.index), count=self._errors_count)
        return self._drafts

    def _add(self, item: bytes) -> None:
        index = self._count
        self._count += 1
        if index == self._settings.batch_tasks_max:
            raise self._wrong_count("more")
        bytes_max = self._settings.body_bytes_max
        if len(item) > bytes_max:
            self._note(index, None, f"it must be at most {bytes_max} bytes (LEDGER_BODY_BYTES_MAX)")
            return
        try:
            given = BatchItem.model_validate_json(item)
        except ValidationError as error:
            self._note_problems(index, error)
            return
        try:
            self._draft(index, given, item)
        except InvalidValueError as error:
            self._note(index, error.field, str(error))

    def _draft(self, index: int, given: BatchItem, item: bytes) -> None:
        task_id = None if given.ref is None else self._refs.bear(given.ref, index=index)
        after = () if not given.after else tuple(self._parent(index, name, by=given.ref) for name in given.after)
        specification = self._intake.specification(given, item, after=after)
        self._commands.draft_in(self._drafts, specification, task_id=task_id)

    def _parent(self, index: int, name: str, *, by: str | None) -> UUID:
        task_id = task_id_in(name)
        if task_id is None:
            return self._refs.mention(name, by=by, index=index)
        self._parents.setdefault(task_id, index)
        return task_id

    async def _check_parents(self) -> None:
        if not self._errors:  # an item that is not valid may be the one that bears the ref
            for index, ref in self._refs.unborne():
                refusal = InvalidValueError(field="after", bound="task ids or refs of the batch", value=ref)
                self._note(index, "after", str(refusal))
        if not self._errors and (circle := self._refs.circle()) is not None:
            index, path = circle
            self._note(index, "after", f"after must not lead back to the item itself, got {path}")
        for parent in await self._commands.unknown(self._parents):
            refusal = InvalidValueError(field="after", bound="tasks that exist", value=str(parent))
            self._note(self._parents[parent], "after", str(refusal))

    def _wrong_count(self, count: str) -> InvalidRequestError:
        bound = f"1 to {self._settings.batch_tasks_max} items (LEDGER_BATCH_TASKS_MAX)"
        return InvalidRequestError(Part.BODY, f"a batch must have {bound}, got {count}")

    def _note_problems(self, index: int, error: ValidationError) -> None:
        if error.error_count() > _ERRORS_SHOWN_MAX:  # a megabyte of them takes half a second to be listed
            self._note(index, None, f"it has {error.error_count()} errors")
            return
        for problem in error.errors(include_url=False):
            self._note(index, field_of(problem), sentence_of([problem]))

    def _note(self, index: int, field: str | None, message: str) -> None:
        self._errors_count += 1
        if len(self._errors) < _ERRORS_SHOWN_MAX:
            self._errors.append(ItemError(index, field, message))
