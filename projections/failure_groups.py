"""The projection `failure_groups`: what goes wrong, the same trouble in one row, and its trend by the hour."""

from projections.projection import SqlProjection, sql_parts, statements_of
from projections.task_status import TASK_STATUS

_NAME = "failure_groups"
_PARTS = sql_parts(_NAME)

FAILURE_GROUPS = SqlProjection(
    name=_NAME,
    version=1,
    tables=(_NAME, "failure_trend"),
    # It looks at the types that it names and is blind to every other: it knows what `task_status` knows.
    schema_versions=TASK_STATUS.schema_versions,
    table_statements=_PARTS["table"],
    index_statements=statements_of(_PARTS["indexes"]),
    fold_statement=_PARTS["fold"],
    difference_statement=_PARTS["differences"],
    may_lag=True,
)
