"""The catalogue holds each projection once, and says what is wrong with one by its source and its field."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import asyncpg
import pytest

from ledger.errors import ConfigurationError
from ledger.store.records import RecordedEvent
from projections.catalogue import GROUP, Catalogue, load_catalogue
from projections.errors import ProjectionNotFoundError
from projections.projection import PythonProjection, SqlProjection
from projections.shipped import SHIPPED
from projections.sql_file import sql_projection, sql_projections

FILE = """-- How many tasks there are of each kind.
-- projection: kinds
-- version: 3
-- tables: kinds
-- events: task.submitted 2

-- part: table
CREATE TABLE kinds (kind text PRIMARY KEY, tasks bigint NOT NULL);

-- part: indexes
CREATE INDEX kinds_by_tasks ON kinds (tasks);

-- part: fold
INSERT INTO kinds SELECT data ->> 'kind', count(*) FROM batch WHERE type = 'task.submitted' GROUP BY 1 ORDER BY 1
ON CONFLICT (kind) DO UPDATE SET tasks = kinds.tasks + excluded.tasks;
"""


async def apply(connection: asyncpg.Connection, events: Sequence[RecordedEvent]) -> None:
    await connection.execute("SELECT 1", len(events))


SEEN = PythonProjection(
    name="seen", version=1, tables=("seen",), table_statements="CREATE TABLE seen (id text)", apply=apply
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kinds.sql"
    path.write_text(FILE, "utf-8")
    return path


def app(monkeypatch: pytest.MonkeyPatch, **values: object) -> str:
    module = ModuleType("an_app")
    vars(module).update(values)
    monkeypatch.setitem(sys.modules, "an_app", module)
    return "an_app"


def test_sql_file_is_a_projection(file: Path) -> None:
    projection = sql_projection(file)

    assert (projection.name, projection.version, projection.tables) == ("kinds", 3, ("kinds",))
    assert projection.index_statements == ("CREATE INDEX kinds_by_tasks ON kinds (tasks)",)
    assert projection.fold_statement.endswith("excluded.tasks")
    assert projection.schema_versions["task.submitted"] == 2
    assert projection.schema_versions["task.held"] > 2  # which it does not read


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("-- projection: kinds\n", "", "projection is required: a line `-- projection: …`"),
        ("-- version: 3", "-- version: three", "version must be a whole number from 1 to 2147483647, got 'three'"),
        ("-- version: 3", "-- version: 3\n-- version: 4", "version must be given once, got it twice"),
        ("-- tables: kinds", "-- tables:", "tables is required"),
        ("task.submitted 2\n", "task.submitted\n", "events must be event types with a schema version, got 'task"),
        ("task.submitted 2\n", "task.archived 1\n", "got 'task.archived'"),
        ("task.submitted 2\n", "task.submitted 9\n", "events must be at most task.submitted 2, got 9"),
        ("-- part: fold", "-- part: folds", "differences, each once, got 'folds'"),
        ("-- part: indexes", "-- part: table", "each once, got 'table'"),
        (FILE[FILE.index("-- part: fold") :], "", "part fold is required: a line `-- part: fold`"),
        ("CREATE TABLE kinds (kind text PRIMARY KEY, tasks bigint NOT NULL);", "", "part table is required"),
    ],
)  # fmt: skip
def test_sql_file_that_is_not_valid_is_named_with_its_field(file: Path, old: str, new: str, said: str) -> None:
    file.write_text(FILE.replace(old, new), "utf-8")

    with pytest.raises(ConfigurationError) as refusal:
        sql_projection(file)

    assert str(refusal.value).startswith(f"the projection file {file}: ")
    assert said in str(refusal.value)


def test_sql_file_that_is_not_there_and_folder_without_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the projection file .*none\.sql cannot be read: "):
        sql_projection(tmp_path / "none.sql")
    with pytest.raises(ConfigurationError, match=r"must have 1 to 100 files \*\.sql, got 0"):
        sql_projections(tmp_path)


def test_catalogue_has_the_shipped_ones_and_those_of_apps_and_entry_points(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    name = app(monkeypatch, SEEN=SEEN, AGAIN=SEEN, SHIPPED=SHIPPED, ALL=sql_projections(file.parent), other=5)
    other = replace(SEEN, name="packed", tables=("packed",), table_statements="CREATE TABLE packed (id text)")
    monkeypatch.setitem(sys.modules, "a_package", ModuleType("a_package"))
    vars(sys.modules["a_package"])["PACKED"] = other

    catalogue = load_catalogue([name], installed=[EntryPoint("packed", "a_package:PACKED", GROUP)])

    assert catalogue.names == (*(one.name for one in SHIPPED), "packed", "seen", "kinds")
    assert catalogue.find("packed") is other
    with pytest.raises(ProjectionNotFoundError, match=r"no projection 'none'; there are: .*, kinds"):
        catalogue.find("none")


@pytest.mark.parametrize(
    ("projection", "said"),
    [
        (replace(SEEN, name="task_status"), "name must be used once, got 'task_status' again: Task Ledger has it"),
        (replace(SEEN, name="Seen; DROP"), "name must be 1 to 40 characters of a-z 0-9 _"),
        (replace(SEEN, name="s" * 41), "name must be 1 to 40 characters of a-z 0-9 _"),
        (replace(SEEN, name="runs"), "and not runs, got 'runs'"),
        (replace(SEEN, version=0), "the projection seen: version must be from 1 to 2147483647, got 0"),
        (replace(SEEN, tables=()), "tables must be 1 to 20 different names, got []"),
        (replace(SEEN, tables=("past_7",)), "not pg_… or past_…, got 'past_7'"),
        (replace(SEEN, table_statements=" "), "the part table is required"),
        (replace(SEEN, tables=("task_status",)), "tables must be its own, got 'task_status', which"),
        (
            replace(SEEN, index_statements=("CREATE INDEX i ON Task_Status (task_id)",)),
            "the part indexes must name its own tables only, got 'task_status', a table of the",
        ),
        (
            replace(SEEN, table_statements="CREATE TABLE projections.seen (id text)"),
            "the part table must name its tables without a schema, got 'projections.'",
        ),
    ],
)
def test_projection_that_could_harm_another_is_refused(
    monkeypatch: pytest.MonkeyPatch, projection: PythonProjection, said: str
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load_catalogue([app(monkeypatch, PROJECTION=projection)], installed=[])

    assert str(refusal.value).startswith("the app 'an_app': ")
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    "fold", ["DELETE FROM task_status", "UPDATE ledger.checkpoints SET position = 0", "SET search_path = public"]
)
def test_fold_that_reaches_beyond_its_tables_is_refused(
    monkeypatch: pytest.MonkeyPatch, file: Path, fold: str
) -> None:
    projection = replace(sql_projection(file), fold_statement=fold)

    with pytest.raises(ConfigurationError, match="the projection kinds: the part fold must name its "):
        load_catalogue([app(monkeypatch, PROJECTION=projection)], installed=[])


def test_what_stands_in_comments_and_texts_of_a_fold_is_no_table(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    projection = sql_projection(file)
    commented = replace(projection, fold_statement=f"-- unlike task_status\n{projection.fold_statement}")

    assert isinstance(load_catalogue([app(monkeypatch, K=commented)], installed=[]).find("kinds"), SqlProjection)


def test_what_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken_app.py").write_text(
        "from projections.sql_file import sql_projection\nsql_projection('x.sql')"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(
        ConfigurationError, match=r"the app 'no_such_app' .* cannot be imported: ModuleNotFoundError"
    ):
        load_catalogue(["no_such_app"], installed=[])
    with pytest.raises(ConfigurationError, match=r"the projection file x\.sql cannot be read"):
        load_catalogue(["broken_app"], installed=[])
    with pytest.raises(
        ConfigurationError, match=r"the entry point 'p' of taskledger\.projections cannot be imported"
    ):
        load_catalogue([], installed=[EntryPoint("p", "no_such_package:X", GROUP)])
    with pytest.raises(
        ConfigurationError, match="must name a projection, or a module that has one, got 'math:pi'"
    ):
        load_catalogue([], installed=[EntryPoint("p", "math:pi", GROUP)])


def test_catalogue_of_nothing_else_has_the_shipped_ones() -> None:
    assert Catalogue().names == load_catalogue([], installed=[]).names
