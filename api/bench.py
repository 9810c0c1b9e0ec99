"""What `taskledger bench` does: it measures the ledger behind a URL, and prints what that amounts to."""

import ipaddress
from collections.abc import Mapping
from dataclasses import asdict
from urllib.parse import urlsplit

import typer

from api.bench_figures import Figures
from api.bench_run import BenchRun, Load
from api.client import (
    AsyncTaskLedger,
    ClientOptions,
    ClientSettingError,
    ConnectionFailedError,
    ForbiddenError,
    InvalidRequestError,
    Retries,
    TaskLedgerError,
    UnauthenticatedError,
    UnavailableError,
)
from api.terminal import answer_json
from ledger.bars import counting
from ledger.envelope import ended
from ledger.exit_codes import ExitCode
from ledger.settings import load_settings

_CODES: Mapping[type[TaskLedgerError], ExitCode] = {
    ClientSettingError: ExitCode.USAGE,
    InvalidRequestError: ExitCode.USAGE,
    UnauthenticatedError: ExitCode.USAGE,
    ForbiddenError: ExitCode.USAGE,
    ConnectionFailedError: ExitCode.UNREACHABLE,
    UnavailableError: ExitCode.UNREACHABLE,
}
_CLIENT_TIMEOUT_SECONDS = 30.0
_RETRY_SECONDS_MAX = 1.0  # what is sent again is measured with its pause, and tells little of the ledger


async def run_bench(load: Load, *, url: str | None, api_key: str | None, as_json: bool) -> None:
    """Submit the load, wait until it has ended, and print the figures.

    The exit code is 6 where tasks had not ended in time, and 1 where some failed or were refused.
    """
    url = url or f"http://127.0.0.1:{load_settings().port}"
    options = ClientOptions(
        timeout_seconds=_CLIENT_TIMEOUT_SECONDS,
        connections_max=load.concurrency + 1,
        retries=Retries(seconds_max=_RETRY_SECONDS_MAX),
    )
    if api_key:
        options["api_key"] = api_key
    try:
        async with AsyncTaskLedger(url, **options) as client:
            with counting("bench") as show:
                run = BenchRun(client, load, show)
                figures = await run.run()
    except TaskLedgerError as error:
        code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), ExitCode.FAILURE)
        raise ended(code, str(error)) from error
    if as_json:
        answer_json({"url": url, **asdict(load), **asdict(figures)})
    else:
        typer.echo(table_of(figures, load))
    _judge(figures, run.first_refusal, load)


def is_loopback(url: str) -> bool:
    """Whether a URL is of this machine, by its name alone."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def table_of(figures: Figures, load: Load) -> str:
    """Return the figures as lines for people."""
    pace = "as fast as they are answered" if load.rate is None else f"{load.rate:g} a second"
    rows = (
        ("tasks", f"{figures.submitted} submitted, {load.concurrency} at once, {pace}; tag {load.tag}"),
        ("ended", f"{figures.completed} completed, {figures.failed} failed, {figures.missing} not in time"),
        ("refused", f"{figures.refused}"),
        ("submits", f"{_shown(figures.submits_per_second)}/s"),
        ("submit p50", f"{_shown(figures.submit_p50_ms)} ms"),
        ("submit p99", f"{_shown(figures.submit_p99_ms)} ms"),
        ("completions", f"{_shown(figures.completions_per_second)}/s"),
        ("submit to COMPLETED p50", f"{_shown(figures.complete_p50_ms)} ms"),
        ("submit to COMPLETED p99", f"{_shown(figures.complete_p99_ms)} ms"),
        ("the measuring itself", f"{figures.processor_share:.0%} of a processor"),
    )
    return "\n".join(f"{name:<24} {text}" for name, text in rows)


def _shown(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:,.1f}"


def _judge(figures: Figures, refusal: str, load: Load) -> None:
    if figures.missing:
        late = f"{figures.missing} of {figures.submitted} tasks had not ended"
        raise ended(ExitCode.TIMEOUT, f"{late} {load.timeout_seconds:g} s after the last submit")
    if figures.failed or figures.refused:
        why = f", the first: {refusal}" if refusal else ""
        raise ended(ExitCode.FAILURE, f"{figures.failed} tasks failed, {figures.refused} were refused{why}")
