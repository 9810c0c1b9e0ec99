"""Projections beside `task_status` that may lag behind it: each is a file of SQL."""

from projections.projection import SqlProjection, sql_parts, statements_of
from projections.task_status import TASK_STATUS


def lagging(
    name: str, *, version: int = 1, more_tables: tuple[str, ...] = (), beginning: str = ""
) -> SqlProjection:
    """Return the projection of sql/projections/<name>.sql; `beginning` goes before its fold."""
    parts = sql_parts(name)
    return SqlProjection(
        name=name,
        version=version,
        tables=(name, *more_tables),
        # They look at the types that they name and are blind to every other: they know what `task_status` knows.
        schema_versions=TASK_STATUS.schema_versions,
        table_statements=parts["table"],
        index_statements=statements_of(parts.get("indexes", "")),
        fold_statement="\n".join(filter(None, (beginning, parts["fold"]))),
        difference_statement=parts["differences"],
        may_lag=True,
    )
