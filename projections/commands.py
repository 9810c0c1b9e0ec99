"""What the commands of the seen side do, and how they say it on a terminal."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import structlog
import typer

from ledger.bootstrap import open_ledger, open_ledger_when_ready
from ledger.process import ExitCode, running_until
from ledger.roles import start_up
from ledger.settings import Settings, load_settings
from projections.progress import Phase, Progress
from projections.projector import Projector
from projections.rebuild import rebuild
from projections.shipped import SHIPPED, find_projection
from projections.standing import read_standing
from projections.verify import DIFFERENCES_MAX, verify

log = structlog.get_logger()

_LINE_EVERY_SECONDS = 2.0

Report = Callable[[Progress], None]


async def run_projector(stop: asyncio.Event, *, database_url: str | None) -> None:
    """Run the projector until `stop` is set."""
    settings = start_up(load_settings(database_url=database_url), role="projector")
    async with (
        open_ledger_when_ready(settings, stop) as ledger,
        running_until(stop, Projector(ledger, SHIPPED).run()),
    ):
        log.info("projector.started", projections=[projection.name for projection in SHIPPED])
    log.info("projector.stopped")


async def show_status(database_url: str | None, *, as_json: bool) -> None:
    """Print a line for each projection, or one JSON object."""
    async with open_ledger(_settings(database_url)) as ledger:
        standings = [await read_standing(ledger, projection) for projection in SHIPPED]
    if as_json:
        shown = [{**asdict(one), "lag": one.lag.total_seconds()} for one in standings]
        typer.echo(json.dumps({"projections": shown}))
        return
    for one in standings:
        typer.echo(str(one))


async def run_rebuild(name: str, database_url: str | None, *, as_json: bool) -> None:
    """Rebuild one read model, and show how far it is."""
    projection = find_projection(name)
    async with open_ledger(_settings(database_url)) as ledger:
        with _bar(name) if sys.stderr.isatty() else _lines(name) as report:
            rebuilt = await rebuild(ledger, projection, report)
    if as_json:
        typer.echo(json.dumps({"name": name, **asdict(rebuilt)}))
        return
    speed = rebuilt.events / rebuilt.seconds if rebuilt.seconds else 0.0
    typer.echo(
        f"rebuilt {name}: {rebuilt.events} events in {rebuilt.seconds:.1f} s ({speed:,.0f} events/s), "
        f"up to position {rebuilt.position}; readers waited {rebuilt.swap_seconds * 1000:.0f} ms at most"
    )


async def run_verify(name: str, database_url: str | None, *, as_json: bool) -> None:
    """Verify one read model, and print where it differs."""
    projection = find_projection(name)
    async with open_ledger(_settings(database_url)) as ledger:
        differences = await verify(ledger, projection)
    if as_json:
        typer.echo(json.dumps({"name": name, "differences": [asdict(one) for one in differences]}))
    else:
        for difference in differences:
            typer.echo(str(difference))
    if differences:
        count = len(differences)
        places = "1 place" if count == 1 else f"{count} places"
        more = " or more" if count == DIFFERENCES_MAX else ""
        typer.echo(f"{name} differs from the ledger in {places}{more}: rebuild it", err=True)
        raise typer.Exit(ExitCode.FAILURE)
    if not as_json:
        typer.echo(f"{name} equals the fold of the ledger")


@contextmanager
def _bar(name: str) -> Iterator[Report]:
    from rich import progress as rich  # noqa: PLC0415 - only where a person looks on
    from rich.console import Console  # noqa: PLC0415 - only where a person looks on

    columns = (
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TextColumn("{task.fields[speed]:,.0f} events/s"),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None, speed=0.0)

        def report(now: Progress) -> None:
            bar.update(
                task,
                description=f"{name}: {now.phase}",
                total=now.events_total,
                completed=now.events_done,
                speed=now.events_per_second,
            )

        yield report


@contextmanager
def _lines(name: str) -> Iterator[Report]:
    said: tuple[Phase | None, float] = (None, 0.0)

    def report(now: Progress) -> None:
        nonlocal said
        moment = time.monotonic()
        if now.phase is said[0] and moment - said[1] < _LINE_EVERY_SECONDS:
            return
        said = (now.phase, moment)
        eta = "" if now.eta_seconds is None else f", {now.eta_seconds:.0f} s to go"
        typer.echo(
            f"{name}: {now.phase}, {now.events_done} of {now.events_total} events, "
            f"{now.events_per_second:,.0f} events/s{eta}",
            err=True,
        )

    yield report


def _settings(database_url: str | None) -> Settings:
    return load_settings(database_url=database_url)
