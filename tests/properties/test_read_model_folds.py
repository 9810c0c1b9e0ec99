"""The folds of the read models beside `task_status`: any batches, and two sessions side by side, agree."""

import asyncio
import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from api.timeline import timeline_of, timeline_of_row
from ledger.store.records import RecordedEvent
from projections.failure_groups import FAILURE_GROUPS
from projections.generation import LIVE, NEXT
from projections.queue_stats import QUEUE_STATS
from projections.task_timeline import TASK_TIMELINE
from projections.verify import verify
from tests.properties.folding import FoldRunner
from tests.properties.strategies import History, histories

MOVES = {
    "task.submitted", "task.released", "task.held", "task.started", "task.completed", "task.failed",
    "task.cancelled", "task.retried",
}  # fmt: skip
GENERATIONS = (LIVE, NEXT)

STATS = "SELECT minute, queue, kind, outcome, bucket, events, microseconds FROM queue_stats"
GROUPS = """
    SELECT replace(group_id::text, '-', ''), error_type, message, frame, attempts, final, first_position,
           first_seen, last_position, last_seen, tasks, task_positions, kinds, queues
      FROM failure_groups
"""
TREND = "SELECT replace(group_id::text, '-', ''), hour, attempts, final FROM failure_trend"

examples_of_histories = st.lists(histories(), min_size=2, max_size=8)
batch_sizes = st.lists(st.integers(1, 9), min_size=1, max_size=8)
bounded = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.generate],  # the log only grows: what failed once would fail for ever
    database=None,
)

Row = tuple[object, ...]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:  # leaves the thread's own loop alone
        yield runner


def test_every_timeline_is_what_the_stream_says(database_url: str, runner: asyncio.Runner) -> None:
    with FoldRunner(runner, database_url, TASK_TIMELINE) as folds:

        @bounded
        @given(examples_of_histories, batch_sizes)
        def holds(examples: list[History], sizes: list[int]) -> None:
            expected = {task_id: timeline_of(stream) for task_id, stream in _streams(folds.fold(examples, sizes))}

            for generation in GENERATIONS:
                rows = folds.rows(generation, "SELECT * FROM task_timeline")
                assert {row["task_id"]: timeline_of_row(row) for row in rows} == expected

        holds()
        assert folds.run(verify(folds.generations.ledger, TASK_TIMELINE)) == []


def test_every_event_is_counted_once_in_its_minute_with_its_latency(
    database_url: str, runner: asyncio.Runner
) -> None:
    with FoldRunner(runner, database_url, QUEUE_STATS) as folds:

        @bounded
        @given(examples_of_histories, batch_sizes)
        def holds(examples: list[History], sizes: list[int]) -> None:
            expected = _stats(folds.fold(examples, sizes))

            for generation in GENERATIONS:
                rows = folds.rows(generation, STATS)
                found = {tuple(row.values())[:5]: tuple(row.values())[5:] for row in rows}
                assert found == expected

        holds()
        assert folds.run(verify(folds.generations.ledger, QUEUE_STATS)) == []


def test_every_failure_is_counted_in_its_group_and_hour(database_url: str, runner: asyncio.Runner) -> None:
    with FoldRunner(runner, database_url, FAILURE_GROUPS) as folds:

        @bounded
        @given(examples_of_histories, batch_sizes)
        def holds(examples: list[History], sizes: list[int]) -> None:
            groups, trend = _failures(folds.fold(examples, sizes))

            for generation in GENERATIONS:
                found = [tuple(row.values()) for row in folds.rows(generation, GROUPS)]
                hours = [tuple(row.values()) for row in folds.rows(generation, TREND)]
                assert {row[0]: row[1:] for row in found} == groups
                assert {row[:2]: row[2:] for row in hours} == trend

        holds()
        assert folds.run(verify(folds.generations.ledger, FAILURE_GROUPS)) == []


def _streams(log: Iterator[RecordedEvent]) -> Iterator[tuple[object, list[RecordedEvent]]]:
    ordered = sorted(log, key=lambda event: (event.task_id, event.version))
    return ((task_id, list(stream)) for task_id, stream in groupby(ordered, key=lambda event: event.task_id))


def _stats(log: Iterator[RecordedEvent]) -> dict[Row, Row]:
    events: Counter[Row] = Counter()
    microseconds: Counter[Row] = Counter()
    for _, stream in _streams(log):
        before: RecordedEvent | None = None
        for event in (event for event in stream if event.type in MOVES):
            outcome = _outcome(event)
            took = _latency(before, event)
            if outcome not in ("released", "held"):
                minute = event.recorded_at.replace(second=0, microsecond=0)
                key = (minute, event.queue, event.kind, outcome, -1 if took is None else _bucket(took))
                events[key] += 1
                microseconds[key] += took or 0
            before = event
    return {key: (count, microseconds[key]) for key, count in events.items()}


def _outcome(event: RecordedEvent) -> str:
    if event.type == "task.failed" and _words(event).get("retry_at"):
        return "will_retry"
    return event.type.removeprefix("task.")


def _latency(before: RecordedEvent | None, event: RecordedEvent) -> int | None:
    if before is None or "task.started" not in (before.type, event.type):
        return None
    return max(0, (event.recorded_at - before.recorded_at) // timedelta(microseconds=1))


def _bucket(microseconds: int) -> int:
    return min(180, max(0, math.floor(20 * math.log10(max(microseconds, 1))) - 60))


def _failures(log: Iterator[RecordedEvent]) -> tuple[dict[str, Row], dict[Row, Row]]:
    groups: dict[str, list[RecordedEvent]] = defaultdict(list)
    described: dict[str, tuple[str, str, str]] = {}
    for event in (event for event in log if event.type == "task.failed"):
        words = describe(_words(event)["error"])
        digest = hashlib.sha256(_json_text(words).encode()).hexdigest()[:32]
        groups[digest].append(event)
        described[digest] = words
    trend: dict[Row, Row] = {}
    for digest, events in groups.items():
        hours = groupby(events, key=lambda event: event.recorded_at.replace(minute=0, second=0, microsecond=0))
        trend.update({(digest, hour): _counts(list(seen)) for hour, seen in hours})
    return {digest: (*described[digest], *_group(events)) for digest, events in groups.items()}, trend


def _group(events: Sequence[RecordedEvent]) -> Row:
    first, last = events[0], events[-1]
    latest = {event.task_id: event.position for event in events}
    newest = sorted(latest.items(), key=lambda item: -item[1])[:10]
    return (
        *_counts(events), first.position, first.recorded_at, last.position, last.recorded_at,
        [task_id for task_id, _ in newest], [position for _, position in newest],
        sorted({event.kind for event in events})[:20], sorted({event.queue for event in events})[:20],
    )  # fmt: skip


def _counts(events: Sequence[RecordedEvent]) -> tuple[int, int]:
    return len(events), sum(_words(event).get("retry_at") is None for event in events)


def _words(event: RecordedEvent) -> dict[str, Any]:
    words: dict[str, Any] = orjson.loads(event.data)
    return words


def _json_text(words: Sequence[str]) -> str:
    return f"[{', '.join(_quoted(word) for word in words)}]"


def _quoted(word: str) -> str:
    return orjson.dumps(word).decode()


_STEPS = (
    (r"[ \t\r\n\f\v]+", " "),
    (r"(^|[^0-9A-Za-z])('[^']*'|\"[^\"]*\"|`[^`]*`)", r"\1<text>"),
    (r"[A-Za-z][0-9A-Za-z+.-]*://[^ ]+", "<url>"),
    (r"[0-9A-Za-z._%+-]+@[0-9A-Za-z.-]+", "<address>"),
    (r"(^|[ (=:,\[])(~|[.]{1,2}|[A-Za-z]:)?[/\\][^ ,:;)\]]+", r"\1<path>"),
    (r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", "<uuid>"),
    (r"[0-9]{1,3}([.][0-9]{1,3}){3}(:[0-9]+)?", "<address>"),
    (r"0x[0-9A-Fa-f]+", "<hex>"),
    (r"(^|[^0-9A-Za-z])[0-9]+(?![0-9A-Za-z])", r"\1<n>"),
    (r"(^|[^0-9A-Za-z])[0-9A-Fa-f]{8,}(?![0-9A-Za-z])", r"\1<hex>"),
    (r"[0-9]+", "<n>"),
    (r"<n>([-.,:/]? ?<n>)+", "<n>"),
)


def describe(error: Mapping[str, str]) -> tuple[str, str, str]:
    """Return the type, the normalised message and the top frame of an error, as the fold has to see them."""
    if "$encrypted" in error:
        return error["type"][:200], "(encrypted)", ""
    message = error["message"][:1000]
    for pattern, replacement in _STEPS:
        message = re.sub(pattern, replacement, message)
    frames = re.findall(r'  File "([^"]*)", line [0-9]+, in ([^\n]*)', error["traceback"])
    path, function = frames[-1] if frames else ("", "")
    name = re.split(r"[/\\]", path)[-1]
    frame = f"{name} in {function}"[:200] if frames else ""
    return error["type"][:200], message[:300], frame
