"""A projection: a name, a version, the DDL of its tables, and a fold over a batch of events.

Its statements name their tables without a schema. The search path decides whether they mean the live generation
or the next one, so one fold serves both, and a table keeps its names when its generation becomes the live one.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol
from uuid import UUID

import asyncpg

from ledger.codec import EVENT_TYPES
from ledger.queries import query, sql_files
from ledger.store.records import RecordedEvent
from projections.errors import FoldFailedError, ForeignTableError

EVENTS_MAX = 2**31 - 1

_PART = re.compile(r"^-- part: (\w+)$", re.MULTILINE)


class Projection(Protocol):
    """What the projector, the rebuild and the verification need to know of a read model."""

    @property
    def name(self) -> str:
        """The name, also of its checkpoint: `projection:<name>`."""

    @property
    def version(self) -> int:
        """Counts up with every change of tables or fold; a read model of an older version is rebuilt."""

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of its tables, the main one first."""

    @property
    def table_statements(self) -> str:
        """The DDL of the tables, with what a fold needs: keys and constraints."""

    @property
    def index_statements(self) -> Sequence[str]:
        """The DDL of what only readers need: a rebuild makes it after the fold, one statement beside the other."""

    @property
    def difference_statement(self) -> str:
        """Compares the tables in `pg_temp` with those in `projections`; empty where that cannot be done.

        It takes the most rows to return, and returns what was compared, a column, expected and found, as text.
        """

    @property
    def schema_versions(self) -> Mapping[str, int]:
        """The event types that the fold knows, each with its newest schema version; it stops before any other."""

    @property
    def may_lag(self) -> bool:
        """Whether nobody waits for it, so that events may gather for LEDGER_PROJECTOR_PAUSE_SECONDS."""

    async def fold(
        self, connection: asyncpg.Connection, *, after: int, upto: int, timeout_seconds: float | None = None
    ) -> None:
        """Fold the events after a position up to another one into the tables, in the transaction that is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlProjection:
    """A projection whose fold is one set-based statement over `batch`.

    `batch` is a table of events in the order of task and version: task_id, version, position, type, kind, queue,
    data, recorded_at, correlation_id. The statement must not care whether it gets a task's events in one batch or
    in many: so it also folds the whole log, in ranges of tasks side by side.

    `plain_statement` may fold the streams of an ordinary shape in a shorter way, where the tables have no row of
    their tasks yet: it takes the first task, the last one and a position, and returns the other tasks or NULL.
    """

    name: str
    version: int
    tables: tuple[str, ...]
    schema_versions: Mapping[str, int]
    table_statements: str
    index_statements: Sequence[str]
    fold_statement: str
    plain_statement: str = ""
    difference_statement: str = ""
    may_lag: bool = False

    async def fold(
        self, connection: asyncpg.Connection, *, after: int, upto: int, timeout_seconds: float | None = None
    ) -> None:
        """Fold the events between two positions."""
        statement = _complete("batch_of_positions", self.fold_statement)
        await connection.execute(statement, after, upto, timeout=timeout_seconds)

    async def fold_tasks(
        self, connection: asyncpg.Connection, *, first: UUID, last: UUID, upto: int, timeout_seconds: float | None
    ) -> None:
        """Fold the whole streams from one task to another (both included), up to a position.

        The tables have no row of these tasks yet. Months that are kept beside the log are folded too.
        """
        await self._fold_tasks_of_log(connection, first, last, upto, timeout_seconds)
        await self._fold_kept_tasks(connection, first, last, upto, timeout_seconds)

    async def fold_kept_months(self, connection: asyncpg.Connection, *, timeout_seconds: float | None) -> None:
        """Fold the months that are kept beside the log, whose tasks no batch of the log will bring."""
        await self._fold_kept_tasks(connection, UUID(int=0), UUID(int=2**128 - 1), 2**63 - 1, timeout_seconds)

    async def _fold_kept_tasks(
        self, connection: asyncpg.Connection, first: UUID, last: UUID, upto: int, timeout_seconds: float | None
    ) -> None:
        statement = _complete("batch_of_kept_tasks", self.fold_statement)
        await connection.execute(statement, first, last, upto, timeout=timeout_seconds)

    async def _fold_tasks_of_log(
        self, connection: asyncpg.Connection, first: UUID, last: UUID, upto: int, timeout_seconds: float | None
    ) -> None:
        if not self.plain_statement:
            statement = _complete("batch_of_tasks", self.fold_statement)
            await connection.execute(statement, first, last, upto, timeout=timeout_seconds)
            return
        await connection.execute(query("plan_for_plain_streams"))
        rest = await connection.fetchval(self.plain_statement, first, last, upto, timeout=timeout_seconds)
        await connection.execute(query("plan_for_batches"))
        if rest:
            statement = _complete("batch_of_streams", self.fold_statement)
            await connection.execute(statement, rest, upto, timeout=timeout_seconds)


Apply = Callable[[asyncpg.Connection, Sequence[RecordedEvent]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonProjection:
    """A projection of a user's own: `apply(connection, events)` gets each batch in the order of the log.

    It writes through the connection only, and names its tables without a schema: then its effects and the
    checkpoint commit together, exactly once.
    """

    name: str
    version: int
    tables: tuple[str, ...]
    table_statements: str
    apply: Apply
    index_statements: Sequence[str] = ()
    difference_statement: str = ""
    may_lag: bool = False
    schema_versions: Mapping[str, int] = field(
        default_factory=lambda: {topic: event_class.class_version for topic, event_class in EVENT_TYPES.items()}
    )

    async def fold(
        self, connection: asyncpg.Connection, *, after: int, upto: int, timeout_seconds: float | None = None
    ) -> None:
        """Hand the events between two positions to `apply`.

        Raises:
            FoldFailedError: it raised something that is not the database's.
            ForeignTableError: it changed a table of another projection.
        """
        rows = await connection.fetch(query("read_log"), after, upto, EVENTS_MAX, timeout=timeout_seconds)
        before = await self._foreign_changes(connection)
        try:
            await self.apply(connection, [RecordedEvent(*row) for row in rows])
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            raise
        except Exception as error:
            raise FoldFailedError(name=self.name, after=after, upto=upto, error=type(error).__name__) from error
        for table, changes in (await self._foreign_changes(connection)).items():
            if changes > before.get(table, 0):
                raise ForeignTableError(name=self.name, table=table)

    async def _foreign_changes(self, connection: asyncpg.Connection) -> dict[str, int]:
        rows = await connection.fetch(query("changes_of_foreign_tables"), list(self.tables))
        return {row["name"]: row["changes"] for row in rows}


@cache
def sql_parts(name: str) -> Mapping[str, str]:
    """Return the parts of sql/projections/<name>.sql: `table`, `indexes`, `fold`, `plain`, `differences`."""
    file = next(file for file in sql_files("projections") if file.name == f"{name}.sql")
    parts = _PART.split(file.read_text("utf-8"))
    return {part: text.strip() for part, text in zip(parts[1::2], parts[2::2], strict=True)}


def statements_of(text: str) -> tuple[str, ...]:
    """Return the statements of a text, of which each ends a line with its semicolon."""
    return tuple(statement.strip() for statement in text.split(";\n") if statement.strip())


@cache
def _complete(beginning: str, fold_statement: str) -> str:
    return "\n".join((query(beginning), fold_statement))
