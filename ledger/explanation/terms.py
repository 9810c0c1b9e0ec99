"""What an explanation is made of and what it says; ledger.explanation.explain makes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ledger.queues.use import QueueUse


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenWorker:
    """A worker process as the roster knows it, with the attempts that it had under way at its last beat."""

    worker_id: str
    name: str
    beat_at: datetime
    running: int
    capacity: int = 1
    stopped_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadMessage:
    """The message that made a task ready, after nobody could take it."""

    letter_id: str
    reason: str
    collected_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The settings that an explanation speaks of."""

    lease_seconds: float
    reconcile_after_seconds: float
    reconcile_every_seconds: float
    attempts_lost_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about a task and its surroundings at one moment.

    Attributes:
        now: the database's time.
        cancelled_by: who cancelled it and why, for a task that is cancelled.
        ready_at: when the event was recorded that made it ready, and where that stands in the log.
        published_position: how far the relay has published the log.
        workers: the live ones that serve its queue.
        ahead: ready tasks of its queue and band that became ready before it; counted up to `ahead_max`.
        dead_message: what became of the message that made it ready, if a worker refused it.
        front: when the youngest running task of its queue and band was submitted.
        owner: the worker of its attempt as the roster knows it, dead or alive; None where it does not.
        parents: of the tasks that it waits for, those that have not completed, each with its status.
        queue_use: what is set for its queue and how far that is used, for a task that its queue holds back.
    """

    now: datetime
    cancelled_by: tuple[str, str] | None = None
    ready_at: datetime | None = None
    ready_position: int = 0
    published_position: int = 0
    workers: Sequence[SeenWorker] = ()
    ahead: int = 0
    ahead_max: int = 1000
    dead_message: DeadMessage | None = None
    front: datetime | None = None
    owner: SeenWorker | None = None
    parents: Mapping[str, str] = field(default_factory=dict)
    queue_use: QueueUse | None = None


@dataclass(frozen=True, slots=True)
class Because:
    """One reason: a code for programs, a sentence for people, and the numbers in it."""

    code: str
    sentence: str
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a task is where it is; the summary is the sentence of the first reason."""

    task_id: str
    status: str
    summary: str
    facts: Mapping[str, object]
    because: Sequence[Because]

    def as_dict(self) -> dict[str, object]:
        """Return it as the API answers it; times stay times."""
        reasons = [{"code": one.code, "sentence": one.sentence, **one.details} for one in self.because]
        return {
            "task_id": self.task_id,
            "status": self.status,
            "summary": self.summary,
            "facts": dict(self.facts),
            "because": reasons,
        }


def said(moment: datetime | None) -> str:
    """Return a moment as the sentences of an explanation say it."""
    return "an unknown time" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"
