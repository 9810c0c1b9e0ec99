"""The reader: finds dead letters, tasks and messages in one list, newest first."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg
from pydantic import JsonValue

from ledger.bootstrap import Ledger
from ledger.dead_letters.letters import Act, Acted, DeadLetterFilter, DeadMessage, LetterKind, ListedLetter, Place
from ledger.jsonvalue import decode_json
from ledger.payloads.opening import Opening
from ledger.queries import query
from ledger.read_model import fetch_rows


class DeadLetterReader:
    """Reads dead letters; of the tasks it knows what the read model knows."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database
        self._opening = Opening(ledger.vault)

    async def page(self, letters: DeadLetterFilter, *, below: Place, limit: int) -> Sequence[ListedLetter]:
        """Return the newest dead letters below a place, newest first."""
        found: list[ListedLetter] = []
        if letters.finds_tasks:
            rows = await fetch_rows(self._database, "list_dead_tasks", *_of_tasks(letters), *below, limit)
            errors = [(row["task_id"], {"error": _decoded(row["error"])}) for row in rows]
            opened = await self._opening.fields(errors)
            found += [_task_letter(row, fields["error"]) for row, fields in zip(rows, opened, strict=True)]
        if letters.finds_messages:
            rows = await fetch_rows(self._database, "list_dead_messages", *_of_messages(letters), *below, limit)
            found += map(_message_letter, rows)
        return sorted(found, key=lambda letter: letter.place, reverse=True)[:limit]

    async def count(self, letters: DeadLetterFilter) -> int:
        """Return how many dead letters there are."""
        found = 0
        if letters.finds_tasks:
            found += _total(await fetch_rows(self._database, "count_dead_tasks", *_of_tasks(letters)))
        if letters.finds_messages:
            found += _total(await fetch_rows(self._database, "count_dead_messages", *_of_messages(letters)))
        return found

    async def message(self, letter_id: UUID) -> DeadMessage | None:
        """Return a message that died, whether somebody has dealt with it or not; None where the id is none."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(query("read_dead_message"), letter_id)
        return None if row is None else _message(row)

    async def messages_among(self, letter_ids: Sequence[UUID]) -> set[UUID]:
        """Return which of these letters are messages; the others are tasks."""
        rows = await fetch_rows(self._database, "messages_among", letter_ids)
        return {row["letter_id"] for row in rows}


def _total(rows: Sequence[asyncpg.Record]) -> int:
    return sum(row["count"] for row in rows)


def _of_tasks(letters: DeadLetterFilter) -> tuple[object, ...]:
    return (
        letters.task_kind,
        letters.queue,
        letters.error_type,
        letters.cause,
        letters.tags or None,
        *letters.interval,
    )


def _of_messages(letters: DeadLetterFilter) -> tuple[object, ...]:
    return letters.task_kind, letters.queue, letters.cause, *letters.interval


def _decoded(error: str | None) -> JsonValue:
    return {} if error is None else decode_json(error)


def _task_letter(row: asyncpg.Record, error: JsonValue) -> ListedLetter:
    facts = error if isinstance(error, Mapping) else {}
    return ListedLetter(
        id=row["task_id"],
        kind=LetterKind.TASK,
        queue=row["queue"],
        task_kind=row["kind"],
        task_id=row["task_id"],
        task_version=row["version"],
        message_id=None,
        error_type=str(facts.get("type", "")),
        reason=str(facts.get("message", "")),
        cause=row["cause"],
        tags=row["tags"],
        attempt=row["attempt"],
        died_at=row["finished_at"],
    )


def _message_letter(row: asyncpg.Record) -> ListedLetter:
    return ListedLetter(
        id=row["letter_id"],
        kind=LetterKind.MESSAGE,
        queue=row["queue"],
        task_kind=row["task_kind"],
        task_id=row["task_id"],
        task_version=row["task_version"],
        message_id=row["message_id"],
        error_type=None,
        reason=row["reason"],
        cause=row["cause"],
        tags=(),
        attempt=None,
        died_at=row["collected_at"],
    )


def _message(row: asyncpg.Record) -> DeadMessage:
    return DeadMessage(
        id=row["letter_id"],
        queue=row["queue"],
        message_id=row["message_id"],
        body=row["body"],
        body_bytes=row["body_bytes"],
        headers=decode_json(row["headers"]),
        properties=decode_json(row["properties"]),
        reason=row["reason"],
        cause=row["cause"],
        task_id=row["task_id"],
        task_version=row["task_version"],
        task_kind=row["task_kind"],
        collected_at=row["collected_at"],
        acted=_acted(row),
    )


def _acted(row: asyncpg.Record) -> Acted | None:
    if row["act"] is None:
        return None
    return Acted(
        act=Act(row["act"]),
        actor=row["actor"],
        reason=row["act_reason"],
        bulk_id=row["bulk_id"],
        acted_at=row["acted_at"],
    )
