"""The account: it finds what was lost and doubled, and measures from the harm to the end of what the harm hit."""

from uuid import UUID

from tests.chaos.account import Account, Event, Recovery
from tests.chaos.faults import Harm, Recovered

ONE, TWO, THREE = (UUID(int=number) for number in (1, 2, 3))


def submitted(at: float) -> Event:
    return Event("task.submitted", at, {})


def started(at: float, *, attempt: int, worker: str) -> Event:
    return Event("task.started", at, {"attempt": attempt, "worker_id": worker})


def failed(at: float, *, attempt: int) -> Event:
    return Event("task.failed", at, {"attempt": attempt})


def released(at: float) -> Event:
    return Event("task.released", at, {})


def completed(at: float, *, attempt: int) -> Event:
    return Event("task.completed", at, {"attempt": attempt})


WELL = [submitted(1), started(2, attempt=1, worker="a"), completed(3, attempt=1)]
RESCUED = [
    submitted(1), started(2, attempt=1, worker="a"), failed(6, attempt=1), released(6),
    started(7, attempt=2, worker="b"), completed(8, attempt=2),
]  # fmt: skip


def test_task_that_has_no_end_or_is_not_recorded_is_lost() -> None:
    account = Account({ONE: WELL, TWO: WELL[:2]}, {})

    assert set(account.lost([ONE, TWO, THREE])) == {TWO, THREE}


def test_task_that_completed_twice_or_whose_attempt_has_two_outcomes_is_doubled() -> None:
    twice = [*RESCUED, completed(9, attempt=3)]
    two_outcomes = [*WELL[:2], failed(3, attempt=1), completed(4, attempt=1)]

    account = Account({ONE: RESCUED, TWO: twice, THREE: two_outcomes}, {})

    assert account.doubled() == [TWO, THREE]


def test_tasks_of_a_queue_at_once_are_counted_in_the_order_of_the_log() -> None:
    def run(*positions: int) -> list[Event]:
        return [
            Event(f"task.{name}", 0, {}, position, "q")
            for name, position in zip(("submitted", "started", "completed"), positions, strict=True)
        ]

    account = Account({ONE: run(1, 4, 6), TWO: run(2, 5, 8), THREE: run(3, 7, 9)}, {})

    assert account.at_once_max("q") == 2


def test_recovery_of_a_killed_worker_is_that_of_each_task_that_it_held_until_its_completion_elsewhere() -> None:
    account = Account({ONE: WELL, TWO: RESCUED}, {"w": "a"})
    late, early = (Harm("kill", at, Recovered.HELD, worker="w") for at in (3.5, 2.5))

    recoveries = account.recoveries([late, early])

    assert recoveries[late] == [Recovery(4.5, attempts=1)]
    assert recoveries[early] == [Recovery(0.5, attempts=0), Recovery(5.5, attempts=1)]


def test_recovery_from_lost_messages_is_that_of_each_task_that_was_ready() -> None:
    account = Account({ONE: WELL, TWO: RESCUED}, {})
    harm = Harm("purge", 6.5, Recovered.READY)

    assert account.recoveries([harm]) == {harm: [Recovery(1.5, attempts=1)]}


def test_recovery_from_an_outage_is_the_first_end_among_the_tasks_that_came_later() -> None:
    later = [submitted(5), started(7, attempt=1, worker="b"), completed(7.5, attempt=1)]
    cancelled = [submitted(5), Event("task.cancelled", 5.1, {})]
    account = Account({ONE: RESCUED, TWO: later, THREE: cancelled}, {})
    harm = Harm("outage", 4.5)

    assert account.recoveries([harm]) == {harm: [Recovery(3.0, attempts=1)]}
