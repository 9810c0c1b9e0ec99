"""`taskledger bench`: the options of the command; api.bench has what it does."""

from typing import Annotated
from uuid import uuid4

import typer

from ledger.command_line import confirm, run_command
from ledger.options import AsJson

app = typer.Typer()

_SECONDS_MAX = 86_400


@app.command()
def bench(  # noqa: PLR0913 - an option each
    *,
    url: Annotated[
        str | None,
        typer.Option("--url", envvar="LEDGER_URL", help="The API to measure; this machine's, at PORT, if absent."),
    ] = None,
    api_key: Annotated[
        str | None, typer.Option("--api-key", envvar="LEDGER_API_KEY", help="A key that may submit and read.")
    ] = None,
    tasks: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many tasks.")] = 2000,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="How many submits at once at most.")] = 64,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, max=100_000, help="Tasks a second, for latencies at a steady rate."),
    ] = None,
    kind: Annotated[str, typer.Option(help="Which handler runs them; one that does nothing.")] = "echo",
    queue: Annotated[str, typer.Option(help="Which workers get them.")] = "default",
    timeout: Annotated[
        float,
        typer.Option(min=1, max=3600, help="Seconds to wait after the last submit; then exit code 6."),
    ] = 60,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, although it is another machine's.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure a running ledger: submit tasks that do nothing over HTTP, and hear when each is COMPLETED.

    The tasks stay in the ledger; all of a run have a tag of its own, bench: and a number.
    """
    from api.bench import is_loopback, run_bench  # noqa: PLC0415 - keeps `--help` fast
    from api.bench_run import Load  # noqa: PLC0415 - keeps `--help` fast

    if rate is not None and tasks / rate > _SECONDS_MAX:
        raise typer.BadParameter(f"--tasks at --rate must take at most {_SECONDS_MAX} s, got {tasks / rate:.0f}")
    load = Load(
        tasks=tasks,
        concurrency=concurrency,
        rate=rate,
        kind=kind,
        queue=queue,
        tag=f"bench:{uuid4().hex[:12]}",
        timeout_seconds=timeout,
    )
    if url is not None and not yes and not is_loopback(url):
        confirm(f"Submit {tasks} tasks to {url}? They stay in its ledger for ever")
    run_command(run_bench(load, url=url, api_key=api_key, as_json=as_json))
