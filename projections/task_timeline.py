"""The projection `task_timeline`: one row a task, with where its time went and a lane for each attempt."""

from projections.projection import SqlProjection, sql_parts
from projections.task_status import TASK_STATUS

_NAME = "task_timeline"
_PARTS = sql_parts(_NAME)

TASK_TIMELINE = SqlProjection(
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
