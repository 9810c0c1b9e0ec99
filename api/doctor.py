"""`taskledger doctor`: every invariant, the ledger's and the read models', in one answer."""

import json
from dataclasses import asdict
from enum import Enum

import typer

from ledger.bootstrap import open_ledger
from ledger.doctor import CHECKS, Check, Finding, breaches_metric, examine
from ledger.process import ExitCode
from ledger.settings import load_settings
from ledger.webhooks.lag import lag_metric
from projections.errors import ReadModelMissingError
from projections.shipped import SHIPPED
from projections.verify import verify

_READ_MODEL_INVARIANT = 6
_MISSING = Check(_READ_MODEL_INVARIANT, "read_model_missing")
_DIFFERS = {projection.name: Check(_READ_MODEL_INVARIANT, f"{projection.name}_differs") for projection in SHIPPED}


class Form(Enum):
    """How the answer is given."""

    TEXT = "text"
    JSON = "json"
    METRICS = "metrics"


async def run_doctor(*, database_url: str | None, bound_seconds: float | None, form: Form) -> None:
    """Print what breaks an invariant, and end with exit code 1 where anything does."""
    async with open_ledger(load_settings(database_url=database_url)) as ledger:
        findings = await examine(ledger, bound_seconds=bound_seconds)
        for projection in SHIPPED:
            try:
                differences = await verify(ledger, projection)
            except ReadModelMissingError as error:
                findings.append(Finding(_READ_MODEL_INVARIANT, _MISSING.name, projection.name, str(error)))
                continue
            findings += [
                Finding(_READ_MODEL_INVARIANT, _DIFFERS[projection.name].name, one.key, str(one))
                for one in differences
            ]
        lags = await lag_metric(ledger) if form is Form.METRICS else []
    typer.echo("\n".join([_answer(findings, form), *lags]))
    if findings:
        raise typer.Exit(ExitCode.FAILURE)


def _answer(findings: list[Finding], form: Form) -> str:
    match form:
        case Form.JSON:
            return json.dumps({"healthy": not findings, "findings": [asdict(finding) for finding in findings]})
        case Form.METRICS:
            return "\n".join(breaches_metric(findings, (*CHECKS, _MISSING, *_DIFFERS.values())))
        case Form.TEXT:
            return "\n".join(map(str, findings)) or "every invariant holds"
