"""A task that its queue holds back names every limit that is full, who paused the queue, and who comes first."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ledger.explanation.explain import explain
from ledger.explanation.terms import Bounds, Explanation, Facts
from ledger.queues.policy import QueuePolicy, Rate
from ledger.queues.use import PermitUse, QueueUse
from ledger.specification import TaskSpecification
from ledger.task import Task
from ledger.task_words import HoldReason

THEN = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)
NOW = THEN + timedelta(seconds=10)
BOUNDS = Bounds(
    lease_seconds=30,
    reconcile_after_seconds=60,
    reconcile_every_seconds=5,
    attempts_lost_max=5,
)


@pytest.mark.parametrize(
    ("paused_by", "sentence"),
    [
        (
            ("cli:ann", "maintenance"),
            "The queue letters is paused since 2026-01-02 03:00:00Z by cli:ann: maintenance.",
        ),
        (("client", ""), "The queue letters is paused since 2026-01-02 03:00:00Z by client."),
        (None, "The queue letters is paused since 2026-01-02 03:00:00Z."),
    ],
)
def test_a_paused_queue_says_since_when_by_whom_and_why(paused_by: tuple[str, str] | None, sentence: str) -> None:
    use = QueueUse(policy=QueuePolicy(name="letters", paused_at=THEN), paused_by=paused_by)

    explanation = _explained(use, hold=HoldReason.PAUSED)

    assert (explanation.summary, _codes(explanation)) == (sentence, ["paused"])
    assert explanation.because[0].details["paused_at"] == THEN


def test_a_full_queue_and_a_full_key_are_both_counted() -> None:
    policy = QueuePolicy(name="letters", concurrency_max=3, key_concurrency_max=2)

    explanation = _explained(QueueUse(policy=policy, queue=PermitUse(in_flight=3), key=PermitUse(in_flight=2)))

    assert [one.sentence for one in explanation.because] == [
        "3 of 3 tasks of the queue letters run or are let through.",
        "2 of 2 tasks of the key acme run or are let through.",
    ]
    assert explanation.because[1].details == {"in_flight": 2, "key_concurrency_max": 2}


def test_a_spent_rate_says_when_the_next_start_is_free() -> None:
    policy = QueuePolicy(name="letters", rate=Rate(100, 60))
    use = QueueUse(policy=policy, queue=PermitUse(starts=100, next_start_at=NOW))

    explanation = _explained(use)

    assert explanation.summary == (
        "100 of 100 starts of the queue letters in 60 s are taken; "
        "the next one is free at about 2026-01-02 03:00:10Z."
    )
    assert explanation.because[0].details == {
        "starts": 100, "rate_max": 100, "rate_s": 60, "next_start_at": NOW,
    }  # fmt: skip


def test_a_rate_that_waits_for_starts_to_come_promises_no_moment() -> None:
    policy = QueuePolicy(name="letters", key_rate=Rate(1, 0.5))

    explanation = _explained(QueueUse(policy=policy, key=PermitUse(starts=1)))

    assert explanation.summary == (
        "1 of 1 starts of the key acme in 0.5 s are taken; "
        "the next one is free so long after one of them has started."
    )


def test_a_limit_by_key_does_not_hold_a_task_without_a_key() -> None:
    policy = QueuePolicy(name="letters", key_concurrency_max=1)

    assert _codes(_explained(QueueUse(policy=policy, key=None))) == ["limit_free"]


def test_limits_with_room_are_not_named_and_the_tasks_before_it_are() -> None:
    policy = QueuePolicy(name="letters", concurrency_max=3, rate=Rate(9, 1), fair=True)
    use = QueueUse(policy=policy, queue=PermitUse(in_flight=2, starts=8), tenants_ahead=["zeta", None], ahead=1000)

    explanation = _explained(use)

    assert [one.sentence for one in explanation.because] == [
        "Tenants whose turn comes first: zeta, those without a name.",
        "Tasks that the limits of the queue letters hold back and that come first: 1000 or more.",
    ]
    assert explanation.because[0].details == {"tenants": ["zeta", None]}


def test_while_a_queue_is_paused_its_limits_do_not_matter() -> None:
    policy = QueuePolicy(name="letters", paused_at=THEN, concurrency_max=1)

    explanation = _explained(QueueUse(policy=policy, queue=PermitUse(in_flight=1)))

    assert _codes(explanation) == ["paused"]


@pytest.mark.parametrize("hold", [HoldReason.PAUSED, HoldReason.LIMIT])
def test_a_task_that_nothing_holds_any_more_is_about_to_be_released(hold: HoldReason) -> None:
    explanation = _explained(QueueUse(policy=QueuePolicy(name="letters")), hold=hold)

    assert _codes(explanation) == ["about_to_be_released"]


def test_tasks_that_no_worker_has_started_yet_are_a_limit_too() -> None:
    use = QueueUse(policy=QueuePolicy(name="letters", concurrency_max=500), unstarted=100)

    (reason,) = _explained(use).because

    assert reason.sentence == "100 tasks of the queue letters are let through and wait for a worker."


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (QueuePolicy(name="letters", paused_at=THEN, concurrency_max=1), "paused"),
        (QueuePolicy(name="letters", concurrency_max=1), "limits"),
    ],
)
def test_a_ready_task_says_what_its_queue_will_do_before_all_else(policy: QueuePolicy, code: str) -> None:
    explanation = _explained(QueueUse(policy=policy), hold=None)

    assert _codes(explanation) == [code, "no_worker"]


def test_what_is_set_and_used_stands_among_the_facts() -> None:
    policy = QueuePolicy(name="letters", rate=Rate(100, 60))

    explanation = _explained(QueueUse(policy=policy, queue=PermitUse(starts=100)))

    shown = explanation.facts["queue_use"]
    assert isinstance(shown, dict)
    assert shown["policy"]["rate"] == {"count_max": 100, "seconds": 60}
    assert shown["queue"]["starts"] == 100


def _explained(use: QueueUse, *, hold: HoldReason | None = HoldReason.LIMIT) -> Explanation:
    specification = TaskSpecification(queue="letters", key="acme")
    task = Task.submit(UUID("01900000-0000-7000-8000-000000000000"), specification, now=THEN, hold=hold)
    return explain(task, Facts(now=NOW, queue_use=use), BOUNDS)


def _codes(explanation: Explanation) -> list[str]:
    return [one.code for one in explanation.because]
