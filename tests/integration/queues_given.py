"""What the tests of a queue's limits begin with: held tasks, and permits written by hand."""

from uuid import UUID

import httpx
from uuid_utils.compat import uuid7

from ledger.bootstrap import Ledger
from ledger.task_words import HoldReason
from tests.integration.api_given import submitted
from tests.integration.given import CLIENT, execute


async def held(client: httpx.AsyncClient, ledger: Ledger, hold: HoldReason, **task: object) -> str:
    """Submit a task of the queue `mail` and hold it back."""
    task_id = await submitted(client, queue="mail", **task)
    await ledger.commands.decide(
        UUID(task_id), lambda found: found.hold_back(reason=hold, now=ledger.clock.now()), origin=CLIENT
    )
    return task_id


async def permit(
    ledger: Ledger,
    *,
    of: UUID | None = None,
    version: int = 2,
    key: str | None = None,
    started_ago: float | None = None,
    ended: bool = False,
) -> None:
    """Write a permit of the queue `mail`, of a task that need not exist."""
    await execute(
        ledger,
        "INSERT INTO ledger.permits (task_id, version, queue, key, started_at, ended_at) "
        "VALUES ($1, $5, 'mail', $2, clock_timestamp() - make_interval(secs => $3), "
        "CASE WHEN $4 THEN clock_timestamp() END)",
        of or uuid7(), key, started_ago, ended, version,
    )  # fmt: skip
