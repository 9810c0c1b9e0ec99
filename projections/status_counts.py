"""The projection `status_counts`: how the number of tasks with a status changed along the log."""

from projections.projection import SqlProjection, sql_parts
from projections.task_status import TASK_STATUS

_NAME = "status_counts"
_PARTS = sql_parts(_NAME)

# From `batch`, as in a fold: `changes` has a position, queue, kind, status, and by how many tasks it changed.
CHANGES = _PARTS["changes"]

STATUS_COUNTS = SqlProjection(
    name=_NAME,
    version=1,
    tables=(_NAME,),
    # A type that it does not name makes a task pending, or leaves its status: it knows what `task_status` knows.
    schema_versions=TASK_STATUS.schema_versions,
    table_statements=_PARTS["table"],
    index_statements=(),
    fold_statement="\n".join((CHANGES, _PARTS["fold"])),
    difference_statement=_PARTS["differences"],
    may_lag=True,
)
