"""The tables of a comparison in Markdown, one a job."""

from collections.abc import Mapping, Sequence

from tests.bench.peers.comparison import Row

_TITLES = {
    "enqueue": "Enqueue: one durable task a call, many callers at once",
    "batch": "Batch: many tasks by one call",
    "drain": "Drain: no-op tasks that wait, one worker, from the start of the first to the end of the last",
}
_HEAD = (
    "| contender | tasks/s | of ours | p50 / p99 | processor µs a task | how | durable where | records |",
    "|---|---|---|---|---|---|---|---|",
)


def tables(rows: Sequence[Row]) -> str:
    """Return a table for each job, its rows in their order."""
    return "\n".join(
        _table(job, [row for row in rows if row.job == job]) for job in dict.fromkeys(row.job for row in rows)
    )


def _table(job: str, rows: Sequence[Row]) -> str:
    lines = [f"### {_TITLES[job]}", "", *_HEAD, *(_line(row) for row in rows)]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    figures = (
        [f"failed: {row.failure}", "", "", ""]
        if row.per_second is None
        else [
            f"{row.per_second:,.0f}",
            "" if row.ratio is None else f"{row.ratio:.2f}",
            _latencies(row.p50_ms, row.p99_ms),
            _processors(row.processor_microseconds),
        ]
    )
    cells = [row.name, *figures, row.how, row.durability, row.records]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _latencies(p50_ms: float | None, p99_ms: float | None) -> str:
    return "" if p50_ms is None or p99_ms is None else f"{p50_ms:.1f} / {p99_ms:.1f} ms"


def _processors(microseconds: Mapping[str, float]) -> str:
    used = {name: value for name, value in microseconds.items() if value >= 1}
    busiest = sorted(used.items(), key=lambda item: -item[1])
    return (
        f"{sum(used.values()):,.0f}: " + ", ".join(f"{name} {value:,.0f}" for name, value in busiest)
        if used
        else "0"
    )
