"""The figures of `taskledger bench`: what the times of a run amount to."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

_MILLISECONDS = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """What was measured, in seconds of one clock.

    Attributes:
        began: when the first task was to be submitted.
        asked: when each task was to be submitted, by its id.
        answered: how long each submit took to be answered.
        completed: when the API told that a task is COMPLETED.
        failed: how many tasks ended otherwise.
        refused: how many submits were not answered with a task.
        processor: how much processor time this process took.
        ended: when all was over.
    """

    began: float
    asked: Mapping[UUID, float]
    answered: Sequence[float]
    completed: Mapping[UUID, float]
    failed: int
    refused: int
    processor: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a run amounts to; a figure is None where nothing was measured.

    Attributes:
        submits_per_second: from the first submit to the last answer.
        completions_per_second: from the first submit to the last completion.
        submit_p50_ms, submit_p99_ms: until the answer to a submit.
        complete_p50_ms, complete_p99_ms: from a submit until the API tells that the task is COMPLETED.
        processor_share: of one processor that the measuring itself took; near 1 it is what was measured.
    """

    submitted: int
    refused: int
    completed: int
    failed: int
    missing: int
    submits_per_second: float | None
    submit_p50_ms: float | None
    submit_p99_ms: float | None
    completions_per_second: float | None
    complete_p50_ms: float | None
    complete_p99_ms: float | None
    processor_share: float


def figures_of(times: Times, *, submits_ended: float) -> Figures:
    """Return what the times amount to."""
    ends = {task_id: moment for task_id, moment in times.completed.items() if task_id in times.asked}
    lasted = [moment - times.asked[task_id] for task_id, moment in ends.items()]
    return Figures(
        submitted=len(times.asked),
        refused=times.refused,
        completed=len(ends),
        failed=times.failed,
        missing=len(times.asked) - len(ends) - times.failed,
        submits_per_second=_rate(len(times.asked), submits_ended - times.began),
        submit_p50_ms=_percentile(times.answered, 0.5),
        submit_p99_ms=_percentile(times.answered, 0.99),
        completions_per_second=_rate(len(ends), max(ends.values(), default=times.began) - times.began),
        complete_p50_ms=_percentile(lasted, 0.5),
        complete_p99_ms=_percentile(lasted, 0.99),
        processor_share=round(times.processor / (times.ended - times.began), 2),
    )


def _rate(count: int, seconds: float) -> float | None:
    return round(count / seconds, 1) if count and seconds > 0 else None


def _percentile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that so large a share of them does not exceed (nearest rank), in milliseconds."""
    if not values:
        return None
    rank = math.ceil(share * len(values)) - 1
    return round(sorted(values)[rank] * _MILLISECONDS, 2)
