"""What a worker and the process of a handler tell each other: a job one way, progress and an answer back."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from pydantic import JsonValue

from ledger.task_words import TaskError
from worker.context import Report, TaskContext
from worker.endings import Ending, Raised, Reported, Returned
from worker.errors import ResultRefusedError
from worker.failure_text import report_of
from worker.importable import Address
from worker.results import as_json, encode_result

# Around a result stands little; an error's texts and the word of a progress have bounds of their own.
FRAME_BYTES_MORE_MAX = 1_048_576
STOP = b'{"stop":true}'


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt for the other process: where its handler stands, and all that the handler may know.

    Attributes:
        log_context: what stands in every line of the worker's log.
        traceparent: the span that the handler runs under; None where nothing is traced.
    """

    address: Address
    kind: str
    input: JsonValue
    task_id: UUID
    attempt: int
    queue: str
    tags: tuple[str, ...]
    deadline: datetime
    result_bytes_max: int
    log_context: dict[str, str]
    traceparent: str | None = None

    def context(self, report: Report) -> TaskContext:
        """Return the attempt as the handler sees it."""
        return TaskContext(
            task_id=self.task_id,
            attempt=self.attempt,
            kind=self.kind,
            queue=self.queue,
            tags=self.tags,
            deadline=self.deadline,
            report=report,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """How the run ended there.

    Attributes:
        has_stopped: it was told to stop and learned of it, or was killed.
    """

    ending: Ending
    has_stopped: bool


def encode_job(job: Job) -> bytes:
    """Return the frame of a job."""
    # The id of a task that was read from the database is of the driver's own class, which orjson does not know.
    return orjson.dumps({"job": job}, default=str)


def decode_job(values: dict[str, Any]) -> Job:
    """Return the job of a frame."""
    return Job(
        **{
            **values,
            "address": Address(**values["address"]),
            "task_id": UUID(values["task_id"]),
            "tags": tuple(values["tags"]),
            "deadline": datetime.fromisoformat(values["deadline"]),
        }
    )


def encode_answer(ending: Returned | Raised, job: Job, *, stop_seen: bool) -> bytes:
    """Return the frame of an ending; a result that the ledger would refuse is refused here."""
    if isinstance(ending, Raised):
        return orjson.dumps({"raised": _finite(report_of(ending.error)), "stop_seen": stop_seen})
    try:
        text = encode_result(as_json(ending.value), attempt=job.attempt, result_bytes_max=job.result_bytes_max)
    except ResultRefusedError as error:
        return encode_answer(Raised(error), job, stop_seen=stop_seen)
    return orjson.dumps({"returned": orjson.Fragment(text), "stop_seen": stop_seen})


def decode_answer(message: dict[str, Any]) -> Answer:
    """Return the answer of a frame."""
    if "returned" in message:
        return Answer(Returned(message["returned"]["result"]), message["stop_seen"])
    raised = message["raised"]
    return Answer(Reported(**{**raised, "error": TaskError(**raised["error"])}), message["stop_seen"])


def _finite(report: Reported) -> Reported:
    # JSON has no word for what is not a number; here it means at once, as it does in a thread.
    seconds = report.retry_after_seconds
    if seconds is None:
        return report
    return Reported(report.error, report.is_hopeless, min(max(0.0, seconds), 1e12))
