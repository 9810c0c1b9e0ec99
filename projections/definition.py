"""What a projection of a user's own has to be like, so that it harms no other one by accident."""

import re

from ledger.errors import ConfigurationError
from projections.projection import Projection, SqlProjection

# A name becomes the name of checkpoints and locks, a table's name that of indexes and constraints beside it.
NAME_PATTERN = r"^[a-z][a-z0-9_]{0,39}$"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_RESERVED_NAMES = ("runs",)  # /projections/runs is no projection
_RESERVED_TABLES = re.compile(r"pg_.*|past_[0-9]+")  # the server's, and what swaps set aside
_TABLES_MAX = 20
_VERSION_MAX = 2**31 - 1
_NOT_CODE = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_OUTSIDE = re.compile(
    r"\bsearch_path\b|\bprojections(?:_next)?\"?\s*\.|\b(?:into|update|from|table)\s+(?:only\s+)?\"?ledger\"?\s*\.",
    re.IGNORECASE,
)
_WORD = re.compile(r"[a-z_][a-z0-9_]*")


def check_definition(projection: Projection, *, source: str) -> None:
    """Raise ConfigurationError for the first field of a user's projection that is not valid.

    The sentence begins with the source, where the projection comes from.
    """
    name, version, tables = projection.name, projection.version, projection.tables
    if not _NAME.fullmatch(name) or name in _RESERVED_NAMES:
        raise ConfigurationError(
            f"{source}: name must be 1 to 40 characters of a-z 0-9 _, a letter first, and not "
            f"{' or '.join(_RESERVED_NAMES)}, got {name[:60]!r}"
        )
    where = f"{source}: the projection {name}"
    if not 1 <= version <= _VERSION_MAX:
        raise ConfigurationError(f"{where}: version must be from 1 to {_VERSION_MAX}, got {version}")
    if not 1 <= len(set(tables)) == len(tables) <= _TABLES_MAX:
        raise ConfigurationError(f"{where}: tables must be 1 to {_TABLES_MAX} different names, got {list(tables)}")
    for table in tables:
        if not _NAME.fullmatch(table) or _RESERVED_TABLES.fullmatch(table):
            raise ConfigurationError(
                f"{where}: tables must be names of 1 to 40 characters of a-z 0-9 _, not pg_… or past_…, "
                f"got {table!r}"
            )
    for part, text in _writing_parts(projection).items():
        if part in ("table", "fold") and not text.strip():
            raise ConfigurationError(f"{where}: the part {part} is required")
        outside = _OUTSIDE.search(_NOT_CODE.sub(" ", text))
        if outside is not None:
            raise ConfigurationError(
                f"{where}: the part {part} must name its tables without a schema, got {outside[0]!r}"
            )


def check_tables(projection: Projection, other: Projection, *, source: str) -> None:
    """Raise ConfigurationError where a projection has, or names in its statements, a table of another one.

    It would write what is not its own, or read what a rebuild has at another position.
    """
    where = f"{source}: the projection {projection.name}"
    for table in other.tables:
        if table in projection.tables:
            raise ConfigurationError(
                f"{where}: tables must be its own, got {table!r}, which the projection {other.name} has"
            )
    for part, text in _writing_parts(projection).items():
        foreign = sorted(set(_WORD.findall(_NOT_CODE.sub(" ", text).lower())) & set(other.tables))
        if foreign:
            raise ConfigurationError(
                f"{where}: the part {part} must name its own tables only, got {foreign[0]!r}, "
                f"a table of the projection {other.name}"
            )


def _writing_parts(projection: Projection) -> dict[str, str]:
    parts = {"table": projection.table_statements, "indexes": ";\n".join(projection.index_statements)}
    if isinstance(projection, SqlProjection):
        parts["fold"] = projection.fold_statement
    return parts
