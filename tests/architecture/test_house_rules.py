"""The rules of the house that a program can check: layers, sizes, and where SQL may stand."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from ledger.queries import query, sql_files

ROOT = Path(__file__).parents[2]
PACKAGES = ("ledger", "projections", "worker", "api")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 40
_SQL = re.compile(r"^\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE|ALTER|DROP|WITH|MERGE|SET)\s")
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_imports_point_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    assert lint_imports(no_cache=True) == 0


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_import_is_hidden_from_the_layers(path: Path) -> None:
    assert "TYPE_CHECKING" not in path.read_text("utf-8")


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_import_says_from_where(path: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]

    assert [node.module for node in imports if node.level or node.names[0].name == "*"] == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_file_fits_and_says_what_lives_in_it(path: Path) -> None:
    text = path.read_text("utf-8")

    assert len(text.splitlines()) <= FILE_LINES_MAX
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_function_fits_a_screen(path: Path) -> None:
    long = {
        function.name: lines
        for function in functions(path)
        if (lines := (function.end_lineno or 0) - function.body[0].lineno + 1) > FUNCTION_LINES_MAX
    }

    assert long == {}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_sql_stands_in_sql_files(path: Path) -> None:
    strings = [
        node.value
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]

    assert [text for text in strings if _SQL.match(text) and text != "SELECT 1"] == []


def test_every_named_statement_is_used_somewhere() -> None:
    names = {found for file in sql_files("queries") for found in _NAME.findall(file.read_text("utf-8"))}
    code = "".join(path.read_text("utf-8") for path in FILES)

    assert {found for found in names if f'"{found}"' not in code} == set()


def test_statement_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError):
        query("no_such_statement")
