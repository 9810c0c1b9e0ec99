"""Dead letters as the API and the command line show them."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from api.read_model import TaskReader, TaskView
from api.routes.tasks import event_body, stale_write_body
from ledger.bootstrap import Ledger
from ledger.dead_letters.acts import ActTaken
from ledger.dead_letters.bulk_acts import BulkAct, bulk_id_of
from ledger.dead_letters.letters import TOP, Act, Acted, DeadLetterFilter, DeadMessage, LetterKind, ListedLetter
from ledger.dead_letters.reader import DeadLetterReader
from ledger.errors import DeadLetterNotFoundError, TaskNotFoundError
from ledger.jsonvalue import decode_json
from ledger.payloads.opening import Opening
from ledger.store.records import RecordedEvent
from ledger.task_words import Status

SAMPLE_MAX = 10
_HISTORY_MAX = 200
_DISCARDED = "task.discarded"

Shown = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a bulk act would find: how many, and some of them."""

    count: int
    sample: Sequence[ListedLetter]

    def as_dict(self) -> Shown:
        """Return it as it is shown."""
        return {"dry_run": True, "count": self.count, "sample": self.sample}


class LetterShelf:
    """Finds a dead letter of either kind by its id, with everything that is known about it."""

    def __init__(self, ledger: Ledger) -> None:
        self._store = ledger.store
        self._opening = Opening(ledger.vault)
        self._letters = DeadLetterReader(ledger)
        self._tasks = TaskReader(ledger)

    async def show(self, letter_id: UUID) -> Shown:
        """Return a message that died or a task that failed, whether somebody has dealt with it or not.

        Raises:
            DeadLetterNotFoundError: there is neither.
        """
        message = await self._letters.message(letter_id)
        if message is not None:
            return await self._show_message(message)
        task = await self._task(letter_id)
        if task is None or task.status != Status.FAILED:
            raise DeadLetterNotFoundError(letter_id)
        return await self._show_task(task)

    async def _show_message(self, message: DeadMessage) -> Shown:
        task = None if message.task_id is None else await self._task(message.task_id)
        body, encoding = _readable(message.body)
        return {
            "id": message.id,
            "kind": LetterKind.MESSAGE,
            "queue": message.queue,
            "task_kind": message.task_kind,
            "task_id": message.task_id,
            "task_version": message.task_version,
            "reason": message.reason,
            "cause": message.cause,
            "died_at": message.collected_at,
            "act": message.acted,
            "message_id": message.message_id,
            "headers": message.headers,
            "properties": message.properties,
            "body": body,
            "body_encoding": encoding,
            "body_bytes": message.body_bytes,
            "body_is_cut": len(message.body) < message.body_bytes,
            "task_status": None if task is None else task.status,
        }

    async def _show_task(self, task: TaskView) -> Shown:
        events = await self._store.read_stream(task.task_id, after_version=max(0, task.version - _HISTORY_MAX))
        refused = await self._store.read_stale_writes(task.task_id)
        return {
            "id": task.task_id,
            "kind": LetterKind.TASK,
            "queue": task.queue,
            "task_kind": task.kind,
            "task_id": task.task_id,
            "task_version": task.version,
            "reason": "" if task.error is None else task.error.get("message", ""),
            "cause": task.cause,
            "died_at": task.finished_at,
            "act": next((_discarding(event) for event in reversed(events) if event.type == _DISCARDED), None),
            **{name: getattr(task, name) for name in _OF_A_TASK},
            "history": [event_body(event) for event in await self._opening.events(events)],
            "stale_writes": [stale_write_body(write) for write in await self._opening.events(refused)],
        }

    async def _task(self, task_id: UUID) -> TaskView | None:
        try:
            return await self._tasks.find(task_id)
        except TaskNotFoundError:
            return None


async def sample_of(reader: DeadLetterReader, letters: DeadLetterFilter, *, limit: int | None) -> Sample:
    """Return how many dead letters a bulk act would find, and the newest of them."""
    count = await reader.count(letters)
    sample = await reader.page(letters, below=TOP, limit=min(SAMPLE_MAX, limit or SAMPLE_MAX))
    return Sample(count=min(count, limit or count), sample=sample)


def taken_body(taken: ActTaken) -> Shown:
    """Return the receipt of an act as it is shown."""
    return {
        "id": taken.letter_id,
        "kind": taken.kind,
        "act": taken.act,
        "task_id": taken.task_id,
        "task_version": None if taken.appended is None else taken.appended.version,
    }


def bulk_act_body(bulk: BulkAct) -> Shown:
    """Return a bulk act as it is shown."""
    return {
        "bulk_id": bulk.bulk_id,
        "act": bulk.act,
        "state": bulk.state,
        "filter": bulk.letters.as_json(),
        "reason": bulk.intent.reason,
        "actor": bulk.intent.origin.actor,
        "rate_per_s": bulk.rate_per_s,
        "limit": bulk.letters_max,
        "count": bulk.found,
        "acted": bulk.acted,
        "skipped": bulk.skipped,
        "created_at": bulk.upto,
        "ended_at": bulk.ended_at,
        "cancelled_by": bulk.cancelled_by,
    }


_OF_A_TASK = ("error", "tags", "input", "attempt", "failures", "losses", "max_attempts")


def _discarding(event: RecordedEvent) -> Acted:
    said = decode_json(event.data)
    reason = str(said.get("reason", "")) if isinstance(said, Mapping) else ""
    return Acted(
        act=Act.DISCARDED,
        actor=event.actor,
        reason=reason,
        bulk_id=bulk_id_of(event.causation_id),
        acted_at=event.recorded_at,
    )


def _readable(body: bytes) -> tuple[str, str]:
    try:
        return body.decode(), "text"
    except UnicodeDecodeError:
        return b64encode(body).decode("ascii"), "base64"
