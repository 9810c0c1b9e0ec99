"""A task's specification: each field has its bound, and its refusal names field, bound and value."""

from datetime import UTC, datetime

import pytest

from ledger.errors import InvalidValueError
from ledger.specification import TaskSpecification, check_specification


@pytest.mark.parametrize(
    "specification",
    [
        TaskSpecification(),
        TaskSpecification(kind="a" * 200, queue="q" * 64, priority=0, max_attempts=1, timeout_seconds=0.1),
        TaskSpecification(kind="Order.confirm:v2/x-y_z", priority=9, max_attempts=1000, timeout_seconds=604_800),
        TaskSpecification(tags=("t" * 100,) * 20, run_at=datetime(2030, 1, 1, tzinfo=UTC)),
    ],
)
def test_what_is_within_the_bounds_passes(specification: TaskSpecification) -> None:
    check_specification(specification)


@pytest.mark.parametrize(
    ("specification", "sentence"),
    [
        (TaskSpecification(kind=""), "kind must be 1 to 200 characters"),
        (TaskSpecification(kind="a\n"), "kind must be"),
        (TaskSpecification(kind="a" * 201), "kind must be"),
        (TaskSpecification(queue="Upper"), "queue must be 1 to 64 characters"),
        (TaskSpecification(queue="a.b"), "queue must be"),
        (TaskSpecification(priority=10), "priority must be between 0 and 9, got 10"),
        (TaskSpecification(priority=-1), "priority must be between 0 and 9, got -1"),
        (TaskSpecification(max_attempts=0), "max_attempts must be between 1 and 1000, got 0"),
        (TaskSpecification(timeout_seconds=0), "timeout_s must be between"),
        (TaskSpecification(timeout_seconds=float("nan")), "timeout_s must be between"),
        (TaskSpecification(run_at=datetime(2030, 1, 1)), "run_at must be a time with an offset"),  # noqa: DTZ001
        (TaskSpecification(tags=("",)), "tags must be 1 to 100 characters"),
        (TaskSpecification(tags=("a\0",)), "tags must be"),
        (TaskSpecification(tags=("a",) * 21), "tags must be at most 20, got 21"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_name(specification: TaskSpecification, sentence: str) -> None:
    with pytest.raises(InvalidValueError, match=sentence):
        check_specification(specification)
