"""The opening: what people with access read, with every payload opened whose key still exists.

An erased payload shows `{"$erased": true}` in its place. One that this process cannot open stays as it is in
the ledger: ciphertext. What looks sealed and belongs to a task without a key was never sealed, and is left alone.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar, cast
from uuid import UUID

import orjson
import structlog
from pydantic import JsonValue

from ledger.codec import secret_field_of
from ledger.errors import PayloadSealError
from ledger.payloads.cipher import SEALED, Cipher, erased_value, sealed_text
from ledger.payloads.vault import Gone, PayloadVault
from ledger.store.records import RecordedEvent, StaleWrite
from ledger.task import Task

log = structlog.get_logger()

Record = TypeVar("Record", RecordedEvent, StaleWrite)


class Opening:
    """Opens what was read from the ledger."""

    def __init__(self, vault: PayloadVault) -> None:
        self._vault = vault

    async def events(self, events: Sequence[Record]) -> list[Record]:
        """Return events, or refused writes, opened; one query finds the keys of all of them."""
        sealed = {event.task_id for event in events if SEALED in event.data}
        if not sealed:
            return list(events)
        ciphers = await self._vault.found(sealed)
        return [_opened_event(event, ciphers.get(event.task_id)) for event in events]

    async def fields(self, found: Sequence[tuple[UUID, dict[str, JsonValue]]]) -> list[dict[str, JsonValue]]:
        """Return the fields of many tasks opened, by the names that they have in events."""
        sealed = {
            task_id
            for task_id, values in found
            if any(sealed_text(value) is not None for value in values.values())
        }
        ciphers = await self._vault.found(sealed)
        return [
            {name: opened_value(ciphers.get(task_id), name, value) for name, value in values.items()}
            for task_id, values in found
        ]

    async def error_of(self, task: Task) -> Task:
        """Open the last error of a folded task in its place, and return the task."""
        fields = {"error": cast("JsonValue", task.error)}
        opened = (await self.fields([(task.id, fields)]))[0]["error"]
        task.error = opened if isinstance(opened, dict) else None
        return task


def opened_value(cipher: Cipher | Gone | None, field: str, value: JsonValue) -> JsonValue:
    """Return what a field holds as far as it can be opened."""
    if cipher is Gone.ERASED:
        return erased_value(field, value)
    if not isinstance(cipher, Cipher):
        return value
    try:
        return cipher.open(field, value)
    except PayloadSealError as error:
        log.warning("payload.unsound", task_id=str(error.task_id), field=field)
        return value


def _opened_event(event: Record, cipher: Cipher | Gone | None) -> Record:
    field = secret_field_of(event.type)
    if cipher is None or cipher is Gone.LOCKED or field is None or SEALED not in event.data:
        return event
    values = orjson.loads(event.data)
    if field not in values:
        return event
    return replace(
        event, data=orjson.dumps({**values, field: opened_value(cipher, field, values[field])}).decode()
    )
