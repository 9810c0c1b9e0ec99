"""Bulk acts as the API and the command line show them."""

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.bootstrap import Ledger
from ledger.bulk_acts.bulk_act import BulkAct
from ledger.bulk_acts.commands import check_statuses
from ledger.bulk_acts.of_tasks import TaskSubject
from ledger.bulk_acts.task_choice import ChosenTask, TaskAct, TaskChoice

SAMPLE_MAX = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSampled:
    """What a bulk act upon tasks would find: how many, and some of them."""

    count: int
    choice: TaskChoice
    sample: Sequence[ChosenTask]

    def as_dict(self) -> dict[str, object]:
        """Return it as it is shown."""
        return {
            "dry_run": True,
            "count": self.count,
            "filter": self.choice.as_json(),
            "sample": self.sample,
        }


async def sample_of_tasks(ledger: Ledger, act: TaskAct, choice: TaskChoice, *, limit: int | None) -> TaskSampled:
    """Return how many tasks a bulk act would be about, and the newest of them.

    Raises:
        InvalidValueError: tasks are meant to which the act cannot be done.
    """
    check_statuses(act, choice)
    tasks = TaskSubject(ledger, choice)
    count = await tasks.count()
    sample = await tasks.sample(limit=min(SAMPLE_MAX, limit or SAMPLE_MAX))
    return TaskSampled(count=min(count, limit or count), choice=choice, sample=sample)


def bulk_act_body(bulk: BulkAct) -> dict[str, object]:
    """Return a bulk act as it is shown."""
    return {
        "bulk_id": bulk.bulk_id,
        "subject": bulk.subject,
        "act": bulk.act,
        "state": bulk.state,
        "filter": bulk.chosen.as_json(),
        "reason": bulk.intent.reason,
        "actor": bulk.intent.origin.actor,
        "rate_per_s": bulk.rate_per_s,
        "limit": bulk.limit,
        "count": bulk.found,
        "acted": bulk.acted,
        "skipped": bulk.skipped,
        "created_at": bulk.upto,
        "ended_at": bulk.ended_at,
        "cancelled_by": bulk.cancelled_by,
    }
