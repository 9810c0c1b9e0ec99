"""The shapes of requests and answers about workers."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from ledger.specification import QUEUE_PATTERN
from ledger.workers.listing import WorkerState


class WorkerQuery(BaseModel):
    """Which workers to list."""

    model_config = ConfigDict(extra="forbid")

    state: list[WorkerState] = Field([], description="Workers in any of these states.")
    queue: str | None = Field(None, pattern=QUEUE_PATTERN, description="Workers that serve this queue.")
    limit: int = Field(100, ge=1, description="How many workers at most.")


class TaskAtWorkShown(BaseModel):
    """A task that runs in a worker's name."""

    task_id: UUID
    kind: str
    queue: str
    attempt: int
    since: datetime = Field(description="When the attempt began.")


class WorkerShown(BaseModel):
    """A worker process."""

    worker_id: UUID = Field(description="Of this incarnation: a process that is started again has another.")
    name: str
    state: WorkerState = Field(
        description="`alive`; `draining`: it lives, and was asked to take nothing new; `silent`: it does not "
        "beat, see `evidence`; `stopped`: it left by itself."
    )
    evidence: str = Field(
        description="`alive`: it beats, or its session in the database stands; `session`: it does not beat and "
        "its session has ended; `lease`: it has not beaten for a whole lease; `stopped`: it said so.",
        examples=["alive"],
    )
    queues: list[str]
    capacity: int = Field(description="How many attempts it runs at once.")
    running: int = Field(description="How many attempts ran at its last beat.")
    takes: bool = Field(description="Whether it took new tasks at its last beat.")
    drained: bool = Field(description="It was asked to drain, takes nothing more and runs nothing more.")
    draining_since: datetime | None
    started_at: datetime
    beat_at: datetime
    stopped_at: datetime | None
    tasks: list[TaskAtWorkShown] = Field(
        description="What runs in its name by the read model: 10 in a list, 100 by itself."
    )


class WorkerList(BaseModel):
    """The workers that live, then those that have been gone for less than a day, the newest first."""

    workers: list[WorkerShown]
    has_more: bool = Field(description="Whether there are more than `limit`.")


class WorkerChangeShown(BaseModel):
    """Something that was asked of a worker."""

    id: int
    change: str = Field(description="`draining` or `resumed`.", examples=["draining"])
    actor: str
    reason: str
    recorded_at: datetime


class WorkerHistory(BaseModel):
    """A page of what was asked of a worker, newest first."""

    changes: list[WorkerChangeShown]
    next_before: int | None = Field(description="Ask for the next page with it; null on the last one.")
