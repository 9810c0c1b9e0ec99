"""`taskledger task explain`: the explanation of a task on a terminal."""

from uuid import UUID

import typer

from api.terminal import answer_json
from ledger.bootstrap import open_ledger
from ledger.explanation.facts import explain_task
from ledger.roles import start_up
from ledger.settings import load_settings


async def run_explain(task_id: UUID, *, database_url: str | None, as_json: bool) -> None:
    """Print the status and every reason, or what the API answers."""
    async with open_ledger(start_up(load_settings(database_url=database_url), role="explain")) as ledger:
        explanation = await explain_task(ledger, task_id)
    if as_json:
        answer_json(explanation.as_dict())
        return
    typer.echo(f"{explanation.task_id} {explanation.status}")
    for reason in explanation.because:
        typer.echo(f"  {reason.code}: {reason.sentence}")
