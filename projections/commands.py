"""What the commands of the seen side do, and how they say it on a terminal."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import orjson
import structlog
import typer
from pydantic import JsonValue

from ledger.bootstrap import open_ledger, open_ledger_when_ready
from ledger.envelope import answer, ended
from ledger.exit_codes import ExitCode
from ledger.metrics_listener import serving_metrics
from ledger.process import running_until
from ledger.roles import start_up
from ledger.settings import Settings, load_settings
from ledger.telemetry import Role
from projections.catalogue import load_catalogue
from projections.conductor import Conductor
from projections.progress import Phase, Progress
from projections.projection import Projection
from projections.projector import Projector
from projections.rebuild import rebuild
from projections.reset import reset
from projections.standing import read_standing
from projections.verify import DIFFERENCES_MAX, verify

log = structlog.get_logger()

_LINE_EVERY_SECONDS = 2.0

Report = Callable[[Progress], None]
Apps = Sequence[str] | None


async def run_projector(stop: asyncio.Event, *, database_url: str | None, apps: Apps) -> None:
    """Run the projector until `stop` is set."""
    settings = start_up(_settings(database_url, apps), role=Role.PROJECTOR)
    catalogue = load_catalogue(settings.worker_apps)
    async with (
        open_ledger_when_ready(settings, stop, role=Role.PROJECTOR) as ledger,
        serving_metrics(ledger, role=Role.PROJECTOR),
        running_until(stop, Projector(ledger, catalogue.projections).run(), Conductor(ledger, catalogue).run()),
    ):
        log.info("projector.started", projections=list(catalogue.names))
    log.info("projector.stopped")


def show_list(apps: Apps, *, as_json: bool) -> None:
    """Print a line for each projection that there is."""
    catalogue = load_catalogue(_settings(None, apps).worker_apps)
    if as_json:
        _answer_json([{"name": one.name, "version": one.version, "tables": list(one.tables)} for one in catalogue])
        return
    for one in catalogue:
        typer.echo(f"{one.name:<20} version {one.version:<4} tables {', '.join(one.tables)}")


async def show_status(database_url: str | None, apps: Apps, *, as_json: bool) -> None:
    """Print a line for each projection."""
    settings = _settings(database_url, apps)
    catalogue = load_catalogue(settings.worker_apps)
    async with open_ledger(settings) as ledger:
        standings = [await read_standing(ledger, projection) for projection in catalogue]
    if as_json:
        _answer_json([standing.facts() for standing in standings])
        return
    for standing in standings:
        typer.echo(str(standing))


async def run_rebuild(
    name: str, database_url: str | None, apps: Apps, *, without_archived: bool, as_json: bool
) -> None:
    """Rebuild one read model, and show how far it is."""
    settings, projection = _found(name, database_url, apps)
    async with open_ledger(settings) as ledger:
        with _bar(name) if sys.stderr.isatty() else _lines(name) as report:
            rebuilt = await rebuild(ledger, projection, report, without_archived=without_archived)
    if as_json:
        _answer_json({"name": name, **asdict(rebuilt)})
        return
    speed = rebuilt.events / rebuilt.seconds if rebuilt.seconds else 0.0
    typer.echo(
        f"rebuilt {name}: {rebuilt.events} events in {rebuilt.seconds:.1f} s ({speed:,.0f} events/s), "
        f"up to position {rebuilt.position}; readers waited {rebuilt.swap_seconds * 1000:.0f} ms at most"
    )


async def run_reset(name: str, database_url: str | None, apps: Apps, *, as_json: bool) -> None:
    """Empty one read model and fold it again, and show how far it is."""
    settings, projection = _found(name, database_url, apps)
    async with open_ledger(settings) as ledger:
        with _bar(name) if sys.stderr.isatty() else _lines(name) as report:
            emptied = await reset(ledger, projection, report)
    if as_json:
        _answer_json({"name": name, **asdict(emptied)})
        return
    typer.echo(f"reset {name}: folded from position 0 to {emptied.position} in {emptied.seconds:.1f} s")


async def run_verify(name: str, database_url: str | None, apps: Apps, *, as_json: bool) -> None:
    """Verify one read model, and print where it differs."""
    settings, projection = _found(name, database_url, apps)
    async with open_ledger(settings) as ledger:
        differences = await verify(ledger, projection)
    if as_json:
        _answer_json({"name": name, "equal": not differences, "differences": [asdict(one) for one in differences]})
    else:
        for difference in differences:
            typer.echo(str(difference))
    if differences:
        raise ended(ExitCode.FAILURE, _differs(name, len(differences)))
    if not as_json:
        typer.echo(f"{name} equals the fold of the ledger")


def _found(name: str, database_url: str | None, apps: Apps) -> tuple[Settings, Projection]:
    settings = _settings(database_url, apps)
    return settings, load_catalogue(settings.worker_apps).find(name)


def _settings(database_url: str | None, apps: Apps) -> Settings:
    return load_settings(database_url=database_url, worker_apps=tuple(apps) if apps else None)


def _differs(name: str, count: int) -> str:
    places = "1 place" if count == 1 else f"{count} places"
    more = " or more" if count == DIFFERENCES_MAX else ""
    return f"{name} differs from the ledger in {places}{more}: rebuild it"


def _answer_json(content: JsonValue) -> None:
    answer(orjson.dumps(content))


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
