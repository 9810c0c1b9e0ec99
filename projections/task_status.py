"""The projection `task_status`: one row a task, as the API, the scheduler and the sweeper see it."""

from projections.projection import SqlProjection, sql_parts, statements_of

_NAME = "task_status"
_PARTS = sql_parts(_NAME)

TASK_STATUS = SqlProjection(
    name=_NAME,
    version=3,
    tables=(_NAME,),
    # SQL has no upcasters: a new schema version needs a new version of this projection that knows both shapes.
    schema_versions={
        "task.submitted": 3,
        "task.released": 1,
        "task.held": 1,
        "task.started": 1,
        "task.progressed": 1,
        "task.completed": 1,
        "task.failed": 1,
        "task.cancel_requested": 1,
        "task.cancelled": 1,
        "task.retried": 1,
        "task.discarded": 1,
        "task.erased": 1,
    },
    table_statements=_PARTS["table"],
    index_statements=statements_of(_PARTS["indexes"]),
    fold_statement=_PARTS["fold"],
    plain_statement=_PARTS["plain"],
    difference_statement=_PARTS["differences"],
)
