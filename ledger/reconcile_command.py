"""`taskledger reconcile`: what the reconciler would release, or one round of it, on a terminal.

A round of its own knows only what the running tasks prove. What the scheduler's probes have proved is known to the
scheduler alone, so it may release more.
"""

from collections import Counter
from collections.abc import Sequence

import orjson
import typer

from ledger.bootstrap import open_ledger
from ledger.envelope import answer
from ledger.reconciler import Reconciler, Suspect
from ledger.roles import start_up
from ledger.settings import load_settings


async def run_reconcile(database_url: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Print the tasks whose message is taken for lost, and release them unless it is a dry run."""
    async with open_ledger(start_up(load_settings(database_url=database_url), role="reconcile")) as ledger:
        reconciler = Reconciler(ledger)
        suspects = await reconciler.suspects()
        released = 0 if dry_run else await reconciler.release(suspects)
    if as_json:
        tasks = [_shown(one) for one in suspects]
        answer(orjson.dumps({"dry_run": dry_run, "found": len(tasks), "released": released, "tasks": tasks}))
        return
    for line in _lines(suspects):
        typer.echo(line)
    typer.echo(f"{len(suspects)} found, {_released(released, dry_run=dry_run)}")


async def run_release_all_ready(database_url: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Release every ready task again that the relay has published, or say how many would be looked at."""
    async with open_ledger(start_up(load_settings(database_url=database_url), role="reconcile")) as ledger:
        reconciler = Reconciler(ledger)
        found = await reconciler.count_all_ready()
        released = 0 if dry_run else await reconciler.release_all_ready()
    if as_json:
        answer(orjson.dumps({"dry_run": dry_run, "found": found, "released": released}))
        return
    typer.echo(f"{found} found, {_released(released, dry_run=dry_run)}")


def _released(count: int, *, dry_run: bool) -> str:
    return "nothing released: this is a dry run" if dry_run else f"{count} released"


def _shown(suspect: Suspect) -> dict[str, str]:
    return {
        "task_id": str(suspect.task_id),
        "queue": suspect.work_queue.queue,
        "band": str(suspect.work_queue.band),
        "evidence": str(suspect.evidence),
        "ready_since": suspect.ready_at.isoformat(),
    }


def _lines(suspects: Sequence[Suspect]) -> list[str]:
    shown = [_shown(one) for one in suspects]
    counts = Counter((one["queue"], one["band"], one["evidence"]) for one in shown)
    return [
        *(
            f"{one['task_id']}  {one['queue']}  {one['band']}  {one['evidence']}  ready since {one['ready_since']}"
            for one in shown
        ),
        *(f"{' '.join(key)}: {count}" for key, count in sorted(counts.items())),
    ]
