"""A projection in a SQL file: a header that names it, and its parts.

    -- projection: kinds
    -- version: 1
    -- tables: kinds
    -- events: task.submitted 2, task.completed 1

    -- part: table
    CREATE TABLE kinds (kind text PRIMARY KEY, tasks bigint NOT NULL);

    -- part: fold
    INSERT INTO kinds
    SELECT data ->> 'kind', count(*) FROM batch WHERE type = 'task.submitted' GROUP BY 1 ORDER BY 1
    ON CONFLICT (kind) DO UPDATE SET tasks = kinds.tasks + excluded.tasks

`events` names what the fold reads, each with the newest schema version that it was written for: it stops before a
newer one. What it does not name it must pass by. `indexes` and `differences` may be absent. Slices of the log are
folded side by side: a fold that writes one row for many tasks takes its rows in one order, or they deadlock.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from ledger.codec import EVENT_TYPES
from ledger.errors import ConfigurationError
from projections.projection import SqlProjection, statements_of

_BYTES_MAX = 1_048_576
_FILES_MAX = 100
_VERSION_MAX = 2**31 - 1
_FIELDS = ("projection", "version", "tables", "events")
_NEEDED = ("table", "fold")
_PARTS = (*_NEEDED, "indexes", "differences")
_FIELD = re.compile(r"^-- (projection|version|tables|events):(.*)$", re.MULTILINE)
_PART = re.compile(r"^-- part:[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_EVENT = re.compile(r"([a-z_.]+) ([1-9][0-9]{0,5})")


def sql_projection(path: str | Path) -> SqlProjection:
    """Read a projection from its file.

    Raises:
        ConfigurationError: the file cannot be read, or a field or a part is missing or not valid; the sentence
            names the file and the field.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _BYTES_MAX:
            raise ProjectionFileError(file, "size", f"must be at most {_BYTES_MAX} bytes")
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the projection file {file} cannot be read: {error}") from error
    header, *rest = _PART.split(text)
    fields = _fields(file, header)
    parts = _parts(file, rest)
    return SqlProjection(
        name=fields["projection"],
        version=_version(file, fields["version"]),
        tables=tuple(_list(fields["tables"])),
        schema_versions=_schema_versions(file, fields["events"]),
        table_statements=parts["table"],
        index_statements=statements_of(f"{parts['indexes']}\n"),
        fold_statement=parts["fold"].rstrip("; \n"),
        difference_statement=parts["differences"].rstrip("; \n"),
    )


def sql_projections(folder: str | Path) -> tuple[SqlProjection, ...]:
    """Read every `*.sql` of a folder, by name; raises ConfigurationError as `sql_projection` does."""
    files = sorted(Path(folder).glob("*.sql"))
    if not 0 < len(files) <= _FILES_MAX:
        raise ConfigurationError(
            f"the folder of projections {folder} must have 1 to {_FILES_MAX} files *.sql, got {len(files)}"
        )
    return tuple(sql_projection(file) for file in files)


class ProjectionFileError(ConfigurationError):
    """A field of a projection's file is not valid."""

    def __init__(self, file: Path, field: str, bound: str) -> None:
        self.file = file
        self.field = field
        super().__init__(f"the projection file {file}: {field} {bound}")


def _fields(file: Path, header: str) -> Mapping[str, str]:
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(header):
        if name in fields:
            raise ProjectionFileError(file, name, "must be given once, got it twice")
        fields[name] = value.strip()
    for name in _FIELDS:
        if not fields.get(name):
            raise ProjectionFileError(file, name, f"is required: a line `-- {name}: …` before the first part")
    return fields


def _parts(file: Path, rest: list[str]) -> Mapping[str, str]:
    parts = {"indexes": "", "differences": ""}
    seen: set[str] = set()
    for name, text in zip(rest[0::2], rest[1::2], strict=True):
        if name not in _PARTS or name in seen:
            bound = f"must be one of {', '.join(_PARTS)}, each once, got {name!r}"
            raise ProjectionFileError(file, "part", bound)
        seen.add(name)
        parts[name] = text.strip()
    for name in _NEEDED:
        if not parts.get(name):
            raise ProjectionFileError(
                file, f"part {name}", f"is required: a line `-- part: {name}` and its statement"
            )
    return parts


def _version(file: Path, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_VERSION_MAX))):
        raise ProjectionFileError(
            file, "version", f"must be a whole number from 1 to {_VERSION_MAX}, got {text!r}"
        )
    return int(text)


def _schema_versions(file: Path, text: str) -> Mapping[str, int]:
    # What the file does not name, the fold does not read: any version of it will do, if only the type is known.
    versions = dict.fromkeys(EVENT_TYPES, _VERSION_MAX)
    for entry in _list(text):
        match = _EVENT.fullmatch(entry)
        if match is None:
            raise ProjectionFileError(file, "events", f"must be event types with a schema version, got {entry!r}")
        event_type, version = match[1], int(match[2])
        if event_type not in EVENT_TYPES:
            raise ProjectionFileError(file, "events", f"must be of {', '.join(EVENT_TYPES)}, got {event_type!r}")
        newest = EVENT_TYPES[event_type].class_version
        if version > newest:
            raise ProjectionFileError(file, "events", f"must be at most {event_type} {newest}, got {version}")
        versions[event_type] = version
    return versions


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
