"""The projection `queue_stats`: what happened in each minute, and how long it took, as histograms."""

from projections.projection import SqlProjection, sql_parts
from projections.task_status import TASK_STATUS

_NAME = "queue_stats"
_PARTS = sql_parts(_NAME)

QUEUE_STATS = SqlProjection(
    name=_NAME,
    version=1,
    tables=(_NAME,),
    # It looks at the types that it names and is blind to every other: it knows what `task_status` knows.
    schema_versions=TASK_STATUS.schema_versions,
    table_statements=_PARTS["table"],
    index_statements=(),
    fold_statement=_PARTS["fold"],
    difference_statement=_PARTS["differences"],
    may_lag=True,
)
