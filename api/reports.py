"""What `taskledger stats`, `failures …` and `task timeline` do: the read models on a terminal."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import typer

from api.as_of import asked_for
from api.failures import FailureReader
from api.json_response import timestamp
from api.stats import StatsReader
from api.stats_shapes import FailuresQuery, StatsQuery
from api.terminal import answer_json, opened
from api.timeline import Lane, Timeline, TimelineReader
from ledger.dead_letters.letters import TOP
from ledger.errors import ConfigurationError, InvalidValueError

_MESSAGE_CHARS_MAX = 80
_COUNTS = ("submitted", "started", "completed", "failed", "will_retry", "cancelled", "retried")


async def run_stats(given: Mapping[str, object], *, database_url: str | None, as_json: bool) -> None:
    """Print the totals and a line for each step in which anything happened, or one JSON object."""
    asked = asked_for(StatsQuery, given)
    async with opened(database_url, role="reports") as ledger:
        try:
            stats: dict[str, Any] = await StatsReader(ledger).read(asked)
        except InvalidValueError as error:
            raise ConfigurationError(str(error)) from error
    if as_json:
        answer_json(stats)
        return
    typer.echo(f"{timestamp(stats['since'])} to {timestamp(stats['until'])}, by {stats['step']:g} s")
    for point in stats["points"]:
        if any(point[name] for name in _COUNTS):
            typer.echo(f"{timestamp(point['at'])}  {_figures(point)}")
    typer.echo(f"in total  {_figures(stats['totals'])}")


async def run_timeline(task_id: UUID, *, database_url: str | None, as_json: bool) -> None:
    """Print where the time went and a line for each attempt, or what the API answers."""
    async with opened(database_url, role="reports") as ledger:
        timeline = await TimelineReader(ledger).find(task_id)
    if as_json:
        answer_json(timeline)
        return
    typer.echo(f"{timeline.task_id} {timeline.state} since {timestamp(timeline.since)}")
    typer.echo(_spent(timeline))
    for lane in timeline.lanes:
        typer.echo(_lane_line(lane))


async def run_failures(
    given: Mapping[str, object], *, limit: int, database_url: str | None, as_json: bool
) -> None:
    """Print a line for each failure group, or one JSON object."""
    asked = asked_for(FailuresQuery, given).filter()
    async with opened(database_url, role="reports") as ledger:
        found = await FailureReader(ledger).page(asked, below=TOP, limit=limit + 1)
    page = found[:limit]
    if as_json:
        answer_json({"failures": page, "has_more": len(found) > limit})
        return
    for group in page:
        typer.echo(f"{timestamp(group['last_seen'])}  {group['id']}  {_counted(group)}  {_words(group)}")
    if not page:
        typer.echo("no failures")
    elif len(found) > limit:
        typer.echo(f"… and more: the latest {limit} are shown")


async def run_failure(failure_id: UUID, *, database_url: str | None, as_json: bool) -> None:
    """Print everything that is known about a failure group."""
    async with opened(database_url, role="reports") as ledger:
        group = await FailureReader(ledger).show(failure_id)
    if as_json:
        answer_json(group)
        return
    typer.echo(f"{group['type']}: {' '.join(str(group['message']).split())}")
    typer.echo(f"at {group['frame'] or '(no frame)'}")
    typer.echo(f"{_counted(group)}, from {timestamp(group['first_seen'])} to {timestamp(group['last_seen'])}")
    typer.echo(f"kinds {', '.join(group['kinds'])}; queues {', '.join(group['queues'])}")
    for hour in group["trend"]:
        typer.echo(f"  {timestamp(hour['hour'])}  {_counted(hour)}")
    for task_id in group["tasks"]:
        typer.echo(f"  task {task_id}")


def _figures(figures: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{figures[name]} {name}" for name in _COUNTS if figures[name]) or "nothing"
    return f"{counts}{_latency('queued', figures['queued'])}{_latency('run', figures['run'])}"


def _latency(name: str, latencies: Mapping[str, Any]) -> str:
    if not latencies["count"]:
        return ""
    return f"; {name} p50 {latencies['p50']:g} s, p95 {latencies['p95']:g} s, p99 {latencies['p99']:g} s"


def _spent(timeline: Timeline) -> str:
    total = "" if timeline.total_seconds is None else f", {timeline.total_seconds:.3f} s in total"
    return (
        f"  waiting {timeline.waiting_seconds:.3f} s, queued {timeline.queued_seconds:.3f} s, "
        f"running {timeline.running_seconds:.3f} s{total}; {timeline.attempts} attempts, "
        f"{timeline.releases} releases, {timeline.holds} holds"
    )


def _lane_line(lane: Lane) -> str:
    queued = (lane.started_at - lane.ready_at).total_seconds()
    line = f"  {lane.attempt}  {timestamp(lane.started_at)}  {lane.worker}  queued {queued:.3f} s"
    if lane.ended_at is None:
        return f"{line}, running"
    cause = f" ({lane.cause})" if lane.cause else ""
    return f"{line}, ran {(lane.ended_at - lane.started_at).total_seconds():.3f} s: {lane.outcome}{cause}"


def _counted(counts: Mapping[str, Any]) -> str:
    return f"{counts['attempts']} attempts, {counts['final']} final"


def _words(group: Mapping[str, Any]) -> str:
    message = " ".join(f"{group['type']}: {group['message']}".split())
    short = message if len(message) <= _MESSAGE_CHARS_MAX else f"{message[:_MESSAGE_CHARS_MAX]}…"
    return f"{short} ({group['frame']})" if group["frame"] else short
