"""What the tests of dead letters begin with: tasks that failed, messages that were rejected."""

from collections.abc import Sequence
from uuid import UUID

from ledger.bootstrap import Ledger
from ledger.broker.memory import MemoryBroker
from ledger.broker.port import Broker, OutgoingMessage
from ledger.dead_letters.collector import Collector
from ledger.dead_letters.letters import TOP, DeadLetterFilter, ListedLetter
from ledger.dead_letters.reader import DeadLetterReader
from ledger.messages import outgoing
from ledger.store.records import Origin
from ledger.task import Task
from ledger.task_words import Cause, TaskError
from tests.integration.given import caught_up, started, submitted

NOBODY = Origin(actor="worker")


async def failed(
    ledger: Ledger,
    count: int = 1,
    *,
    error: str = "ValueError",
    cause: Cause = Cause.ERROR,
    **specification: object,
) -> list[UUID]:
    """Submit some tasks that fail for good, one after the other, and return their ids in that order."""
    task_ids = await submitted(ledger, count, **specification)
    for task_id in task_ids:
        await fail(ledger, task_id, error=error, cause=cause)
    await caught_up(ledger)
    return task_ids


async def fail(ledger: Ledger, task_id: UUID, *, error: str = "ValueError", cause: Cause = Cause.ERROR) -> None:
    """Let a ready task run and fail for good."""
    attempt = await started(ledger, task_id)

    def decide(task: Task) -> None:
        task.fail(
            attempt=attempt,
            error=TaskError(error, "no"),
            cause=cause,
            now=ledger.clock.now(),
            retry_delay_seconds=None,
        )

    await ledger.commands.decide(task_id, decide, origin=NOBODY)


def foreign(queue: str, *, message_id: str = "", body: bytes = b"<xml/>") -> OutgoingMessage:
    """Return a message that is no event of ours, on its way into a work queue."""
    routing_key = f"{queue}.ready.normal.submitted"
    return OutgoingMessage(message_id=message_id, routing_key=routing_key, body=body, queue=queue, must_route=True)


async def announcement(ledger: Ledger, task_id: UUID) -> OutgoingMessage:
    """Return the message that announces a task's last event."""
    return outgoing((await ledger.store.read_stream(task_id))[-1])


async def rejected(broker: Broker, queue: str, messages: Sequence[OutgoingMessage]) -> None:
    """Publish messages, and reject each as a worker would."""
    await broker.publish(messages)
    async with broker.consume([queue], prefetch=1) as deliveries:
        for _ in messages:
            await (await anext(deliveries)).reject("malformed message: no good")


async def dead_messages(ledger: Ledger, queue: str, messages: Sequence[OutgoingMessage]) -> list[UUID]:
    """Let messages die and be collected; return the ids of their letters in that order."""
    broker = MemoryBroker()
    await rejected(broker, queue, messages)
    before = {letter.id for letter in await listed(ledger)}
    await Collector(ledger, broker).run_once()
    return [letter.id for letter in reversed(await listed(ledger)) if letter.id not in before]


async def listed(ledger: Ledger, **asked: object) -> Sequence[ListedLetter]:
    """Return the dead letters, newest first."""
    letters = DeadLetterFilter(**asked)  # type: ignore[arg-type]  # each keyword is a field of its own type
    return await DeadLetterReader(ledger).page(letters, below=TOP, limit=1000)


async def listed_ids(ledger: Ledger, **asked: object) -> list[UUID]:
    """Return the ids of the dead letters, newest first."""
    return [letter.id for letter in await listed(ledger, **asked)]
