"""The collector: moves the messages that nobody could take from the broker into the ledger, where people see them.

    tasks.<queue>.dead ── move ──▶ ledger.dead_letters ── durable ──▶ ack

It runs beside the relay, because that process has both the ledger and the broker, and never in its way: it has a
lead, a connection to each and an outage of its own. One collector leads, so a message that comes twice, because an
ack was lost, is recognised and kept once.
"""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import SystemRandom
from uuid import UUID

import asyncpg
import structlog
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.broker.port import Broker, DeadLetter
from ledger.errors import BrokerRefusedError, BrokerUnavailableError, MalformedMessageError
from ledger.jsonvalue import storable_json, storable_text
from ledger.leader import leading, while_leading
from ledger.messages import incoming
from ledger.outage import Outage
from ledger.queries import query
from ledger.read_model import fetch_rows
from ledger.store.connection import Database, translated

log = structlog.get_logger()

ROLE = "dead_letters"
LETTERS_MAX = 100
_ROUNDS_MAX = 10
_FAILURES_MAX = 3
_TEXT_CHARS_MAX = 2000
_VERSION_MAX = 2_147_483_647
_random = SystemRandom()
_EVENT_ID = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):([1-9][0-9]{0,8})")


@dataclass(frozen=True, slots=True)
class _Subject:
    """The task that a message is about, as far as the message tells."""

    task_id: UUID | None = None
    version: int | None = None
    kind: str | None = None


class Collector:
    """Collects dead letters; it outlives every outage, and whatever goes wrong in it is its own."""

    def __init__(self, ledger: Ledger, broker: Broker) -> None:
        self._ledger = ledger
        self._broker = broker
        self._body_bytes_max = ledger.settings.dead_letter_body_bytes_max
        self._outage = Outage(ROLE, retry_seconds_max=ledger.settings.broker_retry_seconds_max)
        self._refused: set[str] = set()

    async def run_once(self) -> int:
        """Collect what is there now and return how many messages that were; 0 while another collector leads."""
        async with leading(self._ledger.database, ROLE) as connection:
            return 0 if connection is None else await self._collect(connection)

    async def run(self) -> None:
        """Collect for ever while this process leads, stand by while another does."""
        while True:
            try:
                await while_leading(self._ledger.database, ROLE, self._lead)
            except Exception as error:  # noqa: BLE001 - dead letters can wait; the relay in this process cannot
                await self._outage.wait(error)

    async def _lead(self, connection: asyncpg.Connection) -> None:
        while True:
            await self._collect(connection)
            self._outage.end()
            await asyncio.sleep(self._ledger.settings.dead_letter_interval_seconds)

    async def _collect(self, connection: asyncpg.Connection) -> int:
        moved = 0
        failures: list[BrokerUnavailableError] = []
        queues = await self._queues()
        # In any order: a few queues that the broker cannot serve must not keep the others waiting for ever.
        for queue in _random.sample(queues, len(queues)):
            try:
                moved += await self._collect_queue(queue, connection)
            except BrokerRefusedError as error:
                self._note_refused(queue, error)
            except BrokerUnavailableError as error:
                failures.append(error)
                if len(failures) == _FAILURES_MAX:
                    break
        if failures:
            raise failures[0]
        return moved

    async def _collect_queue(self, queue: str, connection: asyncpg.Connection) -> int:
        async def keep(letters: Sequence[DeadLetter]) -> None:
            await self._keep(letters, connection)

        moved = 0
        for _ in range(_ROUNDS_MAX):  # a queue into which they pour must not keep the others waiting for ever
            count = await self._broker.move_dead_letters(queue, keep, letters_max=LETTERS_MAX)
            moved += count
            if count < LETTERS_MAX:
                break
        if moved:
            log.warning("dead_letters.collected", queue=queue, messages=moved)
        return moved

    async def _queues(self) -> list[str]:
        known = await known_queues(self._ledger.database)
        return sorted({*known, *self._ledger.settings.worker_queues})

    async def _keep(self, letters: Sequence[DeadLetter], connection: asyncpg.Connection) -> None:
        with translated():
            async with connection.transaction():
                await connection.execute(query("await_disk"))
                for letter in letters:
                    await connection.execute(query("keep_dead_letter"), *self._row(letter))

    def _row(self, letter: DeadLetter) -> tuple[object, ...]:
        subject = subject_of(letter)
        return (
            uuid7(),
            letter.queue,
            storable_text(letter.message_id, chars_max=_TEXT_CHARS_MAX),
            letter.body[: self._body_bytes_max],
            len(letter.body),
            hashlib.sha256(letter.body).digest(),
            storable_json(letter.headers),
            storable_json(letter.properties),
            storable_text(letter.reason, chars_max=_TEXT_CHARS_MAX),
            storable_text(letter.cause, chars_max=_TEXT_CHARS_MAX),
            subject.task_id,
            subject.version,
            subject.kind,
        )

    def _note_refused(self, queue: str, error: BrokerRefusedError) -> None:
        if queue not in self._refused:
            self._refused.add(queue)
            log.warning("dead_letters.refused", queue=queue, reason=str(error))


async def known_queues(database: Database) -> list[str]:
    """Return every queue that a task or a worker has named and that we remember, by name.

    AMQP lists no queues, but a message reaches a work queue only after a task or a worker has named it.
    """
    names: set[str] = set()
    for name in ("known_queues", "queues_of_workers"):
        names |= {row["name"] for row in await fetch_rows(database, name)}
    return sorted(names)


def subject_of(letter: DeadLetter) -> _Subject:
    """Return the task that a message is about: its body tells, else its id, as a later release writes it too."""
    try:
        event = incoming(letter.body)
    except MalformedMessageError:
        found = _EVENT_ID.fullmatch(letter.message_id)
        return _Subject(UUID(found[1]), int(found[2])) if found else _Subject()
    kind = storable_text(event.kind, chars_max=_TEXT_CHARS_MAX)
    return _Subject(event.task_id, event.version, kind) if 0 < event.version <= _VERSION_MAX else _Subject()
