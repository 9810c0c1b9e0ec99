"""`taskledger schedules …`: the options of the commands; api.schedules has what they do."""

from collections.abc import Mapping
from typing import Annotated

import typer

from ledger.command_line import run_command
from ledger.options import AsJson, DatabaseUrl

app = typer.Typer(no_args_is_help=True, help="Submit tasks again and again, by cron expressions.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 characters of a-z 0-9 _ -.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it goes into the changes.")]


@app.command("list")
def list_schedules(database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Show every schedule with its next fire time."""
    from api.schedules import run_list  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_list(database_url, as_json=as_json))


@app.command()
def show(name: Name, database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Show a schedule, its next five fire times and its latest fires."""
    from api.schedules import run_show  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_show(name, database_url, as_json=as_json))


@app.command()
def changes(
    name: Name,
    database_url: DatabaseUrl = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show who changed a schedule, when and why, newest first; it may have been removed since."""
    from api.schedules import run_changes  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_changes(name, database_url, limit=limit, as_json=as_json))


@app.command("set")
def set_schedule(  # noqa: PLR0913 - an option for each field
    name: Name,
    *,
    cron: Annotated[str, typer.Option("--cron", help="Five fields, for example '30 2 * * MON-FRI'.")],
    time_zone: Annotated[str | None, typer.Option("--time-zone", help="For example Europe/Berlin; UTC.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Which handler runs the task.")] = None,
    queue: Annotated[str | None, typer.Option("--queue", help="Which workers get it.")] = None,
    task_input: Annotated[str | None, typer.Option("--input", metavar="JSON", help="What it gets.")] = None,
    priority: Annotated[int | None, typer.Option("--priority", help="0 (last) to 9 (first).")] = None,
    max_attempts: Annotated[int | None, typer.Option("--max-attempts", help="How many may fail.")] = None,
    timeout_s: Annotated[float | None, typer.Option("--timeout-s", help="How long one may run.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="May be given again.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="What limits by key count it under.")] = None,
    backfill: Annotated[
        str | None, typer.Option("--backfill", help="none, latest or all of the missed fires; latest.")
    ] = None,
    overlap: Annotated[
        str | None, typer.Option("--overlap", help="allow, or skip while the task before is unfinished; allow.")
    ] = None,
    starts_at: Annotated[str | None, typer.Option("--starts-at", metavar="TIME", help="None before.")] = None,
    ends_at: Annotated[str | None, typer.Option("--ends-at", metavar="TIME", help="None after.")] = None,
    paused: Annotated[bool | None, typer.Option("--paused/--running", help="As it is.")] = None,
    reason: Reason = "",
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a schedule, or replace the one of this name; what is not given has its default."""
    from api.schedules import run_set  # noqa: PLC0415 - keeps `--help` fast

    task = {
        "kind": kind, "queue": queue, "priority": priority, "max_attempts": max_attempts, "timeout_s": timeout_s,
        "tags": tags, "key": key,
    }  # fmt: skip
    fields = {
        "cron": cron, "time_zone": time_zone, "backfill": backfill, "overlap": overlap, "starts_at": starts_at,
        "ends_at": ends_at, "paused": paused, "reason": reason,
    }  # fmt: skip
    run_command(
        run_set(name, _given(fields), _given(task), task_input, database_url=database_url, as_json=as_json)
    )


@app.command()
def apply(
    apps: Annotated[
        list[str] | None,
        typer.Option("--app", help="A module with handlers; may be given again (LEDGER_APPS)."),
    ] = None,
    database_url: DatabaseUrl = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Set the schedules that the handlers of your modules declare; removes none."""
    from api.schedules import run_apply  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_apply(tuple(apps) if apps else None, database_url, as_json=as_json))


@app.command()
def pause(name: Name, reason: Reason = "", database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Fire no more until it is resumed."""
    from api.schedules import run_turn  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_turn(name, database_url, paused=True, reason=reason, as_json=as_json))


@app.command()
def resume(name: Name, reason: Reason = "", database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Fire again, from now on."""
    from api.schedules import run_turn  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_turn(name, database_url, paused=False, reason=reason, as_json=as_json))


@app.command()
def remove(name: Name, reason: Reason = "", database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Remove a schedule; what it fired, and who changed it, is kept."""
    from api.schedules import run_remove  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_remove(name, database_url, reason=reason, as_json=as_json))


@app.command()
def fire(name: Name, reason: Reason = "", database_url: DatabaseUrl = None, *, as_json: AsJson = False) -> None:
    """Submit its task now."""
    from api.schedules import run_fire  # noqa: PLC0415 - keeps `--help` fast

    run_command(run_fire(name, database_url, reason=reason, as_json=as_json))


def _given(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}
