"""`taskledger doctor`: every invariant, the ledger's and the read models', in one answer."""

import json
from dataclasses import asdict

import typer

from ledger.bootstrap import open_ledger
from ledger.doctor import Finding, examine
from ledger.process import ExitCode
from ledger.settings import load_settings
from projections.errors import ReadModelMissingError
from projections.shipped import SHIPPED
from projections.verify import verify

_READ_MODEL_INVARIANT = 6


async def run_doctor(*, database_url: str | None, bound_seconds: float | None, as_json: bool) -> None:
    """Print what breaks an invariant, and end with exit code 1 where anything does."""
    async with open_ledger(load_settings(database_url=database_url)) as ledger:
        findings = await examine(ledger, bound_seconds=bound_seconds)
        for projection in SHIPPED:
            try:
                differences = await verify(ledger, projection)
            except ReadModelMissingError as error:
                findings.append(Finding(_READ_MODEL_INVARIANT, "read_model_missing", projection.name, str(error)))
                continue
            findings += [
                Finding(_READ_MODEL_INVARIANT, f"{projection.name}_differs", one.key, str(one))
                for one in differences
            ]
    _print(findings, as_json=as_json)
    if findings:
        raise typer.Exit(ExitCode.FAILURE)


def _print(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"healthy": not findings, "findings": [asdict(finding) for finding in findings]}))
        return
    for finding in findings:
        typer.echo(str(finding))
    if not findings:
        typer.echo("every invariant holds")
