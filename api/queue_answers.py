"""The shapes of answers about queues, for the OpenAPI document."""

from datetime import datetime

from pydantic import BaseModel, Field, JsonValue

from ledger.queues.listing import QueueState


class HeldShown(BaseModel):
    """How many tasks each reason holds back, whatever their time."""

    paused: int = Field(description="Because the queue is or was paused.")
    limit: int = Field(description="Because a limit of the queue is full, or others come first.")
    after: int = Field(description="Because they wait for other tasks.")


class QueueSettingsShown(BaseModel):
    """What is set for a queue; null stands for no bound."""

    concurrency_max: int | None = Field(description="How many of its tasks may be let through and unfinished.")
    key_concurrency_max: int | None = Field(description="The same for the tasks of one `key`.")
    rate_max: int | None = Field(description="How many of its tasks may start within any `rate_s` seconds.")
    rate_s: float | None
    key_rate_max: int | None = Field(description="The same for the tasks of one `key`, in `key_rate_s` seconds.")
    key_rate_s: float | None
    fair: bool = Field(description="Whether tenants (the tag `tenant:…`) take turns.")
    weights: dict[str, float] = Field(description="A tenant's share of the turns; 1 for whoever is not named.")


class QueueShown(BaseModel):
    """A queue."""

    name: str
    state: QueueState = Field(
        description="`open`; `draining`: it is paused, and tasks of it run, or may still start on a worker that "
        "has not heard of it; `paused`: none of its tasks runs."
    )
    paused_at: datetime | None
    ready: int = Field(description="Tasks that nothing but a free worker keeps from running.")
    waiting: int = Field(description="Tasks whose time has not come.")
    held: HeldShown
    running: int
    permits: int = Field(description="Tasks that its limits have let through and that have not ended.")
    dead: int = Field(
        description="Tasks that failed for good and messages that nobody could take, until somebody deals with "
        "them; of very many not all are counted."
    )
    oldest_ready_at: datetime | None = Field(description="Since when the longest ready task is.")
    live_workers: int = Field(description="Worker processes that serve it and beat.")
    settings: QueueSettingsShown


class QueueList(BaseModel):
    """The queues, by name."""

    queues: list[QueueShown]


class QueueChangeShown(BaseModel):
    """One change of what is set for a queue."""

    id: int
    change: str = Field(description="`paused`, `resumed`, `set` or `reset`.", examples=["paused"])
    settings: dict[str, JsonValue] = Field(description="What was set; empty for the other changes.")
    actor: str
    reason: str
    recorded_at: datetime


class QueueHistory(BaseModel):
    """A page of the changes of a queue, newest first."""

    changes: list[QueueChangeShown]
    next_before: int | None = Field(description="Ask for the next page with it; null on the last one.")
