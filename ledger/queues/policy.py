"""What an operator has set for a queue, and whether that holds a task back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ledger.task import Task
from ledger.task_words import HoldReason


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count_max` starts within any `seconds`."""

    count_max: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePolicy:
    """The settings of one queue; None stands for no bound.

    Attributes:
        paused_at: since when none of its tasks is started.
        concurrency_max: how many of its tasks may be let through and unfinished at once.
        key_concurrency_max: the same for the tasks of one key; a task without a key is not counted.
        rate: how many may start in a time.
        key_rate: the same for the tasks of one key.
        fair: whether tenants take turns.
        weights: a tenant's share of the turns; 1 for whoever is not named.
    """

    name: str
    paused_at: datetime | None = None
    concurrency_max: int | None = None
    key_concurrency_max: int | None = None
    rate: Rate | None = None
    key_rate: Rate | None = None
    fair: bool = False
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_managed(self) -> bool:
        """Whether its tasks wait in the ledger until they are let through."""
        bounds = (self.concurrency_max, self.key_concurrency_max, self.rate, self.key_rate)
        return self.fair or any(bound is not None for bound in bounds)

    @property
    def hold_of_new(self) -> HoldReason | None:
        """Why a task that becomes ready now is held back; None where it is not."""
        if self.paused_at is not None:
            return HoldReason.PAUSED
        return HoldReason.LIMIT if self.is_managed else None

    def hold_of(self, task: Task) -> HoldReason | None:
        """Return why a ready task must not start; None where it may."""
        if self.paused_at is None and task.admitted:
            return None
        return self.hold_of_new
