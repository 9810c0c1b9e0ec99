"""The ledger's own commands: the relay and the scheduler as processes, the migrations, the configuration."""

import json
from typing import Annotated

import typer

from ledger.command_line import CommandLine, run_command, run_role
from ledger.envelope import answer, ended
from ledger.exit_codes import ExitCode
from ledger.options import AsJson, DatabaseUrl, RabbitmqUrl

app = typer.Typer(cls=CommandLine, no_args_is_help=True, pretty_exceptions_show_locals=False)
config = typer.Typer(no_args_is_help=True, help="Show and check the configuration.")
app.add_typer(config, name="config")
_COMPACT = (",", ":")

relay = typer.Typer(invoke_without_command=True)
app.add_typer(relay, name="relay")


@relay.callback()
def run_the_relay(
    context: typer.Context, database_url: DatabaseUrl = None, rabbitmq_url: RabbitmqUrl = None
) -> None:
    """Publish every event of the ledger to RabbitMQ; or see how that stands."""
    if context.invoked_subcommand is not None:
        return
    from ledger.roles import run_relay  # noqa: PLC0415 - keeps `--help` fast

    run_role(lambda stop: run_relay(stop, database_url=database_url, rabbitmq_url=rabbitmq_url))


@app.command()
def scheduler(database_url: DatabaseUrl = None) -> None:
    """Release due tasks, sweep lost workers, reconcile lost messages."""
    from ledger.roles import run_scheduler  # noqa: PLC0415 - keeps `--help` fast

    run_role(lambda stop: run_scheduler(stop, database_url=database_url))


@app.command()
def migrate(
    database_url: DatabaseUrl = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be applied.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the database to this release's schema."""
    run_command(_migrate(database_url, dry_run=dry_run, as_json=as_json))


async def _migrate(database_url: str | None, *, dry_run: bool, as_json: bool) -> None:
    from ledger.bootstrap import required_database_url  # noqa: PLC0415 - keeps `--help` fast
    from ledger.migrate import migrate as apply_migrations  # noqa: PLC0415 - keeps `--help` fast
    from ledger.settings import load_settings  # noqa: PLC0415 - keeps `--help` fast

    settings = load_settings(database_url=database_url)
    missing = await apply_migrations(required_database_url(settings), dry_run=dry_run)
    listed = [{"number": migration.number, "name": migration.name} for migration in missing]
    if as_json:
        answer(json.dumps({"dry_run": dry_run, "migrations": listed}, separators=_COMPACT).encode())
        return
    verb = "would apply" if dry_run else "applied"
    for migration in missing:
        typer.echo(f"{verb} {migration.number:04} {migration.name}")
    if not missing:
        typer.echo("the schema is up to date")


@app.command()
def reconcile(
    database_url: DatabaseUrl = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be released.")] = False,
    all_ready: Annotated[
        bool, typer.Option("--all-ready", help="Every ready task: the broker has lost all of its messages.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Release ready tasks again whose message must be lost, once; the scheduler does it all the time."""
    from ledger.reconcile_command import run_reconcile, run_release_all_ready  # noqa: PLC0415 - keeps `--help` fast

    run = run_release_all_ready if all_ready else run_reconcile
    run_command(run(database_url, dry_run=dry_run, as_json=as_json))


@config.command("show")
def show_configuration(*, as_json: AsJson = False) -> None:
    """Print every setting as JSON, with passwords masked."""
    run_command(_show_configuration(as_json=as_json))


async def _show_configuration(*, as_json: bool) -> None:
    from ledger.settings import environment_name, load_settings  # noqa: PLC0415 - keeps `--help` fast

    shown = {environment_name(name): value for name, value in load_settings().masked().items()}
    if as_json:
        answer(json.dumps(shown, default=str, separators=_COMPACT).encode())
    else:
        typer.echo(json.dumps(shown, indent=2, default=str))


@config.command("check")
def check_configuration(*, as_json: AsJson = False) -> None:
    """Say whether the configuration is valid and what it names can be reached."""
    run_command(_check_configuration(as_json=as_json))


async def _check_configuration(*, as_json: bool) -> None:
    from ledger.roles import unreachable  # noqa: PLC0415 - keeps `--help` fast

    problems = await unreachable()
    if as_json:
        answer(json.dumps({"problems": problems}, separators=_COMPACT).encode())
    if problems:
        raise ended(ExitCode.UNREACHABLE, *problems)
    if not as_json:
        typer.echo("the configuration is valid and everything that it names answers")
