"""The documents as a reader meets them: what they tell to type, what is shown below, and their Python."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "OPERATIONS.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w+\.py)\b")
_PLACEHOLDERS = re.compile(
    r"(?P<id>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22})"
    r"|(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?)"
    r"|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<anything>…)"
    r"|(?P<space>\s+)"
)
_MATCHED = {
    "id": r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22})",
    "time": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?",
    "number": r"\d+(?:\.\d+)?",
    "anything": r".*",
    "space": r"\s+",
}


@dataclass(frozen=True, slots=True)
class Typed:
    """A command, and what the document shows below it."""

    command: str
    shown: tuple[str, ...]

    @property
    def commands(self) -> list[str]:
        """The commands of the line, one after the other."""
        return self.command.split(" && ")


@dataclass(frozen=True, slots=True)
class Python:
    """A block of Python, and the file that it belongs to, if it says one."""

    code: str
    file: str | None


def text_of(document: str) -> str:
    """Return the text of a document."""
    return (ROOT / document).read_text("utf-8")


def sections_of(document: str) -> Iterator[list[Typed | Python]]:
    """Return what a reader of the document does, in its order, section by section."""
    for section in re.split(r"^## ", text_of(document), flags=re.MULTILINE):
        steps = list(_steps(section))
        if steps:
            yield steps


def commands_of(document: str) -> list[str]:
    """Return every single command that the document tells to type."""
    steps = [step for section in sections_of(document) for step in section]
    return [command for step in steps if isinstance(step, Typed) for command in step.commands]


def ids_shown(told: tuple[str, ...], shown: tuple[str, ...]) -> dict[str, str] | None:
    """Return what the ids of the document stand for; None where the document shows something else.

    Ids, times, numbers and white space may differ, and `…` is anything.
    """
    found: dict[str, str] = {}
    left = iter(told)
    for line in shown:
        match = next((match for one in left if (match := re.fullmatch(_pattern(line), one.strip()))), None)
        if match is None:
            return None
        ids = [one["id"] for one in _PLACEHOLDERS.finditer(line) if one.lastgroup == "id"]
        found.update(zip(ids, match.groups(), strict=True))
    return found


def _steps(section: str) -> Iterator[Typed | Python]:
    for language, block in _BLOCK.findall(section):
        if language == "console":
            yield from _typed(block)
        elif language == "sql":
            yield Typed(f'psql --quiet "$DATABASE_URL" --command {shlex.quote(block)}', ())
        elif language == "python":
            named = _FILE.match(block)
            yield Python(block, named[1] if named else None)


def _typed(block: str) -> Iterator[Typed]:
    for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *shown = entry.splitlines()
        yield Typed(command.partition("  #")[0].strip(), tuple(line.strip() for line in shown if line.strip()))


def _pattern(line: str) -> str:
    parts, end = [], 0
    for one in _PLACEHOLDERS.finditer(line):
        parts += [re.escape(line[end : one.start()]), _MATCHED[str(one.lastgroup)]]
        end = one.end()
    return "".join([*parts, re.escape(line[end:])])
