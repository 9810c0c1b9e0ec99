"""The named SQL statements of sql/queries: read from the package once, looked up by name."""

import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def query(name: str) -> str:
    """Return the statement of this name; KeyError where sql/queries has none."""
    return _queries()[name]


def sql_files(folder: str) -> list[Traversable]:
    """Return the .sql files of a folder of the sql package, by name."""
    entries = files("sql").joinpath(folder).iterdir()
    return sorted((entry for entry in entries if entry.name.endswith(".sql")), key=lambda entry: entry.name)


@cache
def _queries() -> dict[str, str]:
    statements: dict[str, str] = {}
    for file in sql_files("queries"):
        parts = _NAME.split(file.read_text("utf-8"))
        for name, text in zip(parts[1::2], parts[2::2], strict=True):
            if name in statements:
                raise KeyError(f"two statements are named {name}")
            statements[name] = text.strip()
    return statements
