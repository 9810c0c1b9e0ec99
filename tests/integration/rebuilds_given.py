"""Rebuilds that tests give: small ones, and what a read model has after them."""

from ledger.bootstrap import Ledger
from projections.rebuild import Effort
from tests.integration.given import fetch

SMALL = Effort(sessions=3, events_per_slice=7)
CONTENT = "SELECT md5(string_agg(status::text, ',' ORDER BY task_id)) FROM projections.task_status AS status"
COUNTS = """SELECT (SELECT count(*) FROM ledger.events), (SELECT sum(version) FROM projections.task_status),
                   (SELECT max(position) FROM ledger.events),
                   (SELECT position FROM ledger.checkpoints WHERE name = 'projection:task_status')"""
LEFTOVERS = """SELECT to_regclass('projections_next.task_status')::text FROM ledger.checkpoints
                WHERE name = 'projection:task_status:next'"""
INDEXES = "SELECT indexname FROM pg_indexes WHERE schemaname = 'projections' ORDER BY indexname"


async def has_folded_all(ledger: Ledger) -> bool:
    """Say whether task_status has every event of the ledger."""
    [(events, versions, last, checkpoint)] = await fetch(ledger, COUNTS)
    return bool(events == versions and last == checkpoint)
