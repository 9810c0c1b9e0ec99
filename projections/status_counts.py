"""The projection `status_counts`: how the number of tasks with a status changed along the log."""

from projections.lagging import lagging
from projections.projection import sql_parts

_NAME = "status_counts"

# From `batch`, as in a fold: `changes` has a position, queue, kind, status, and by how many tasks it changed.
CHANGES = sql_parts(_NAME)["changes"]

STATUS_COUNTS = lagging(_NAME, beginning=CHANGES)
