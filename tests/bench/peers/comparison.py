"""The comparison: every contender does every job in turns, several rounds; medians, and ratios to ours."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from tests.bench.peers.bench import Bench
from tests.bench.peers.cell import TooSlowError
from tests.bench.peers.contender import REFERENCES, Contender
from tests.bench.peers.environments import InstallError
from tests.bench.peers.peer import JobName
from tests.bench.peers.program import ProgramError
from tests.bench.peers.sample import Sample


@dataclass(frozen=True, slots=True)
class Row:
    """How a contender did a job, over all rounds.

    Attributes:
        per_second: the median of the rounds, and each round.
        ratio: of the median to that of our reference for the job; None where that was not measured.
        processor_microseconds: a task, by process; medians.
        failure: why there are no figures.
    """

    job: str
    name: str
    how: str
    durability: str
    records: str
    settings: Mapping[str, str] = field(default_factory=dict)
    tasks: int = 0
    per_second: float | None = None
    per_second_each: tuple[float, ...] = ()
    ratio: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    processor_microseconds: Mapping[str, float] = field(default_factory=dict)
    failure: str | None = None


def compare(contenders: Sequence[Contender], jobs: Sequence[JobName], bench: Bench, *, rounds: int) -> list[Row]:
    """Let the contenders do the jobs in turns, and return a row for each; a failure ends only its own row."""
    turns = [_Turn(job, contender) for job in jobs for contender in contenders if job in contender.peer.jobs]
    for number in range(1, rounds + 1):
        for turn in turns:
            if turn.failure is None:
                sys.stderr.write(f"round {number} of {rounds}: {turn.job}, {turn.contender.peer.name}\n")
                turn.take(bench, others=turns)
    rows = [row_of(turn.contender, turn.job, turn.samples, turn.failure) for turn in turns]
    return with_ratios(rows, {str(job): name for job, name in REFERENCES.items()})


@dataclass(slots=True)
class _Turn:
    """A contender at a job, and what came of it so far."""

    job: JobName
    contender: Contender
    samples: list[Sample] = field(default_factory=list)
    failure: str | None = None

    def take(self, bench: Bench, *, others: Sequence["_Turn"]) -> None:
        try:
            self.samples.append(self.contender.measure(bench, self.job))
        except InstallError as error:  # its other jobs need not try again
            for turn in (turn for turn in others if turn.contender is self.contender):
                turn.fail(error)
        except (ProgramError, TooSlowError, TimeoutError, OSError) as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        self.failure = str(error) or type(error).__name__
        sys.stderr.write(f"failed: {self.failure}\n")


def row_of(contender: Contender, job: JobName, samples: Sequence[Sample], failure: str | None) -> Row:
    """Return the medians of a contender's rounds; no figures where a round failed."""
    peer, task = contender.peer, contender.peer.jobs[job]
    row = Row(str(job), peer.name, task.how, peer.durability, peer.records, task.settings, failure=failure)
    return row if failure is not None else with_medians(row, samples)


def with_medians(row: Row, samples: Sequence[Sample]) -> Row:
    """Return the row with the medians of these samples."""
    processes = dict.fromkeys(name for sample in samples for name in sample.processor_seconds)
    return replace(
        row,
        tasks=samples[0].tasks,
        per_second=median(sample.per_second for sample in samples),
        per_second_each=tuple(sample.per_second for sample in samples),
        p50_ms=_median(sample.p50_ms for sample in samples),
        p99_ms=_median(sample.p99_ms for sample in samples),
        processor_microseconds={
            name: median(sample.processor_seconds.get(name, 0.0) / sample.tasks * 1e6 for sample in samples)
            for name in processes
        },
    )


def with_ratios(rows: Sequence[Row], references: Mapping[str, str]) -> list[Row]:
    """Return the rows with the ratio of each to the reference of its job."""
    rates = {row.job: row.per_second for row in rows if references.get(row.job) == row.name}
    return [replace(row, ratio=_ratio(row.per_second, rates.get(row.job))) for row in rows]


def _ratio(rate: float | None, reference: float | None) -> float | None:
    return rate / reference if rate is not None and reference else None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
