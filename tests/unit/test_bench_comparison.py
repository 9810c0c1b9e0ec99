"""What the benchmark makes of its samples: medians, ratios to ours, and the tables."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tests.bench.peers.bench import Bench
from tests.bench.peers.comparison import Row, compare, with_medians, with_ratios
from tests.bench.peers.contender import Contender, contenders
from tests.bench.peers.environments import InstallError
from tests.bench.peers.peer import JobName, Peer, Task
from tests.bench.peers.program import ProgramError
from tests.bench.peers.programs.notes import DIRECTORY, Noted, note, read_notes
from tests.bench.peers.sample import Sample
from tests.bench.peers.table import tables

ROW = Row(job="enqueue", name="other", how="send, 8 threads", durability="Postgres", records="nothing")
OURS = "task-ledger in process"
NO_BENCH = cast("Bench", None)  # nothing here starts a server


def contender(name: str, measure: Callable[[Bench, JobName], Sample]) -> Contender:
    jobs = {JobName.ENQUEUE: Task(100, "send"), JobName.DRAIN: Task(100, "work")}
    return Contender(Peer(name, (), "program", jobs, durability="Postgres", records="nothing"), measure)


def test_a_row_has_the_medians_of_its_rounds() -> None:
    samples = [
        Sample(100, seconds, p50_ms=seconds, p99_ms=2 * seconds, processor_seconds={"other": seconds / 10})
        for seconds in (4.0, 1.0, 2.0)
    ]

    row = with_medians(ROW, samples)

    assert (row.per_second, row.per_second_each) == (50, (25, 100, 50))
    assert (row.p50_ms, row.p99_ms) == (2.0, 4.0)
    assert row.processor_microseconds == {"other": pytest.approx(2000)}


def test_a_job_without_single_calls_has_no_latencies() -> None:
    row = with_medians(ROW, [Sample(100, 1.0)])

    assert (row.p50_ms, row.p99_ms) == (None, None)


def test_each_row_is_a_multiple_of_ours_at_the_same_job() -> None:
    rows = [
        replace(ROW, name=OURS, per_second=200.0),
        replace(ROW, per_second=50.0),
        replace(ROW, job="drain", per_second=50.0),
        replace(ROW, name="broken", failure="no such version"),
    ]

    ratios = [row.ratio for row in with_ratios(rows, {"enqueue": OURS, "drain": "task-ledger"})]

    assert ratios == [1.0, 0.25, None, None]


def test_contenders_take_turns_and_a_failure_ends_only_its_own_row() -> None:
    turns: list[str] = []

    def works(_: Bench, job: JobName) -> Sample:
        turns.append(f"works: {job}")
        return Sample(100, 1.0)

    def fails(_: Bench, job: JobName) -> Sample:
        turns.append(f"fails: {job}")
        raise ProgramError("it ended")

    both = [contender("fails", fails), contender("works", works)]
    rows = compare(both, [JobName.ENQUEUE, JobName.DRAIN], NO_BENCH, rounds=2)

    assert turns[:4] == ["fails: enqueue", "works: enqueue", "fails: drain", "works: drain"]
    assert turns[4:] == ["works: enqueue", "works: drain"]
    assert [(row.name, row.per_second, row.failure) for row in rows[:2]] == [
        ("fails", None, "it ended"),
        ("works", 100, None),
    ]


def test_a_peer_that_cannot_be_installed_is_not_tried_at_its_other_jobs() -> None:
    turns: list[str] = []

    def fails(_: Bench, job: JobName) -> Sample:
        turns.append(str(job))
        raise InstallError("no such version")

    rows = compare([contender("fails", fails)], [JobName.ENQUEUE, JobName.DRAIN], NO_BENCH, rounds=2)

    assert turns == ["enqueue"]
    assert [row.failure for row in rows] == ["no such version", "no such version"]


def test_a_table_a_job_shows_figures_or_why_there_are_none() -> None:
    rows = [
        replace(
            ROW,
            per_second=1234.5,
            ratio=0.25,
            p50_ms=1.26,
            p99_ms=9.0,
            processor_microseconds={"other": 40.0, "postgres": 60.0, "rabbitmq": 0.2},
        ),
        replace(ROW, name="broken", failure="no | such\nversion"),
        replace(ROW, job="drain", per_second=7.0),
    ]

    text = tables(rows)

    assert "| other | 1,234 | 0.25 | 1.3 / 9.0 ms | 100: postgres 60, other 40 | send, 8 threads |" in text
    assert "| broken | failed: no \\| such version |  |  |  |" in text
    assert text.count("### ") == 2


def test_no_peer_is_measured_under_a_name_that_it_does_not_have() -> None:
    with pytest.raises(ValueError, match="no peer is called 'celry'"):
        contenders(["celry"])


def test_notes_of_several_processes_are_one_drain() -> None:
    noted = Noted.together([Noted(3, 10.0, 12.0), Noted(0, 0.0, 0.0), Noted(2, 9.0, 11.0)])

    assert (noted.tasks, noted.seconds) == (5, 3.0)


def test_what_tasks_noted_is_read_by_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY, str(tmp_path))

    note()
    note()
    noted = read_notes(tmp_path)

    assert noted.tasks == 2
    assert noted.seconds > 0
