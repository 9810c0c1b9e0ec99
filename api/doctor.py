"""`taskledger doctor`: every invariant, the ledger's and the read models', in one answer."""

from collections.abc import Sequence
from enum import Enum

import typer

from api.terminal import answer_json
from ledger.bootstrap import Ledger, open_ledger
from ledger.doctor import CHECKS, Check, Finding, breaches_metric, examine
from ledger.envelope import ended
from ledger.exit_codes import ExitCode
from ledger.settings import load_settings
from ledger.webhooks.lag import lag_metric
from projections.catalogue import load_catalogue
from projections.errors import FoldFailedError, NotVerifiableError, ReadModelMissingError
from projections.projection import Projection
from projections.verify import verify

_READ_MODEL_INVARIANT = 6
_MISSING = Check(_READ_MODEL_INVARIANT, "read_model_missing")


class Form(Enum):
    """How the answer is given."""

    TEXT = "text"
    JSON = "json"
    METRICS = "metrics"


async def run_doctor(
    *, database_url: str | None, bound_seconds: float | None, form: Form, apps: Sequence[str] | None = None
) -> None:
    """Print what breaks an invariant, and end with exit code 1 where anything does."""
    settings = load_settings(database_url=database_url, worker_apps=tuple(apps) if apps else None)
    catalogue = load_catalogue(settings.worker_apps)
    checks = [*CHECKS, _MISSING, *(_differs(projection) for projection in catalogue)]
    async with open_ledger(settings) as ledger:
        findings = await examine(ledger, bound_seconds=bound_seconds)
        for projection in catalogue:
            findings += await _findings(ledger, projection)
        lags = await lag_metric(ledger) if form is Form.METRICS else []
    if form is Form.JSON:
        answer_json({"healthy": not findings, "findings": findings})
    else:
        typer.echo("\n".join([_answer(findings, checks, form), *lags]))
    if findings:
        raise ended(ExitCode.FAILURE, f"invariants are broken in {len(findings)} places, or more")


async def _findings(ledger: Ledger, projection: Projection) -> list[Finding]:
    try:
        differences = await verify(ledger, projection)
    except ReadModelMissingError as error:
        return [Finding(_READ_MODEL_INVARIANT, _MISSING.name, projection.name, str(error))]
    except NotVerifiableError:
        return []  # of a user's own that does not say how to compare
    except FoldFailedError as error:
        return [Finding(_READ_MODEL_INVARIANT, _differs(projection).name, projection.name, str(error))]
    return [Finding(_READ_MODEL_INVARIANT, _differs(projection).name, one.key, str(one)) for one in differences]


def _differs(projection: Projection) -> Check:
    return Check(_READ_MODEL_INVARIANT, f"{projection.name}_differs")


def _answer(findings: list[Finding], checks: Sequence[Check], form: Form) -> str:
    if form is Form.METRICS:
        return "\n".join(breaches_metric(findings, checks))
    return "\n".join(map(str, findings)) or "every invariant holds"
