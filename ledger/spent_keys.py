"""The keys that have served: the scheduler deletes them in batches."""

from datetime import timedelta

from ledger.bootstrap import Ledger
from ledger.queries import query


class SpentKeys:
    """Forgets keys; any number of them may run."""

    def __init__(self, ledger: Ledger) -> None:
        self._database = ledger.database
        self._batch_size_max = ledger.settings.scheduler_batch_size_max
        self._kept_for = timedelta(hours=ledger.settings.idempotency_hours)

    async def forget_idempotency_keys(self) -> int:
        """Delete every idempotency key that was kept for as long as is set; return how many that were."""
        forgotten = 0
        while True:
            async with self._database.connection() as connection:
                deleted = await connection.execute(
                    query("forget_idempotency_keys"), self._kept_for, self._batch_size_max
                )
            forgotten += _rows(deleted)
            if _rows(deleted) < self._batch_size_max:
                return forgotten

    async def forget_unique_keys(self) -> int:
        """Delete every unique key whose task is finished, a page at a time; return how many that were."""
        forgotten = 0
        after = ("", "")
        while True:
            async with self._database.connection() as connection, connection.transaction():
                page = await connection.fetch(query("lock_unique_tasks"), *after, self._batch_size_max)
                columns = [row["kind"] for row in page], [row["unique_key"] for row in page]
                forgotten += _rows(await connection.execute(query("forget_unique_tasks"), *columns))
            if len(page) < self._batch_size_max:
                return forgotten
            after = tuple(page[-1])


def _rows(command_tag: str) -> int:
    # Postgres answers a DELETE with "DELETE 7".
    return int(command_tag.rpartition(" ")[2])
