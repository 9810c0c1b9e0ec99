"""The envelope: what every command prints on standard output with --json, however it ended.

    {"command":"task show","ok":true,"exit_code":0,"data":{…},"error":null}
    {"command":"task show","ok":false,"exit_code":3,"data":null,"error":{"code":"not_found","message":"…"}}

It is one line, and the last one on standard output; logs and prose are on standard error. `data` is the answer;
where a command found a failure in what it looked at, it has both `data` and `error`. `error.code` is the name of
the exit code: failure, usage, not_found, unreachable, conflict, timeout, interrupted. `command` is empty where the
words name none.

A stream (`events tail`, `task watch`, `submit --wait`) prints each event bare, a JSON object a line; the envelope
follows when it has ended.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import typer

from ledger.exit_codes import ExitCode

_UNTOLD = b"null"


class Envelope:
    """What is known of a command that runs; it is printed when the command has ended."""

    def __init__(self, words: Sequence[str]) -> None:
        self.is_asked = "--json" in words  # what is wrong with the options themselves has to be told as well
        self.command = ""
        self.data = _UNTOLD
        self.sentence = ""

    def line(self, code: ExitCode) -> str:
        """Return it as a line of JSON."""
        import orjson  # noqa: PLC0415 - keeps `--help` fast

        error = {"code": code.name.lower(), "message": self.sentence}
        told = {
            "command": self.command,
            "ok": code is ExitCode.OK,
            "exit_code": int(code),
            "data": orjson.Fragment(self.data),
            "error": None if code is ExitCode.OK else error,
        }
        return orjson.dumps(told).decode()

    def tell(self, code: ExitCode) -> None:
        """Print it, if it was asked for; help and the like have no answer, and are no JSON."""
        if self.is_asked and (code is not ExitCode.OK or self.data is not _UNTOLD):
            _print(self.line(code))


_current: ContextVar[Envelope] = ContextVar("envelope")


def note_json(context: typer.Context, *, value: bool) -> bool:
    """Take note that a command was asked for JSON, and which one it is."""
    envelope = _current.get(None)
    if value and envelope is not None:
        envelope.is_asked = True
        envelope.command = name_of(context)
    return value


def answer(text: bytes) -> None:
    """Give the answer of the command that runs, as JSON."""
    _current.get().data = text


def ended(code: ExitCode, *sentences: str) -> typer.Exit:
    """Say on standard error why a command ends, and return what ends it."""
    for sentence in sentences:
        typer.echo(f"taskledger: {sentence}", err=True)
    if (envelope := _current.get(None)) is not None:
        envelope.sentence = "; ".join(sentences)
    return typer.Exit(code)


@contextmanager
def enveloped(words: Sequence[str]) -> Iterator[None]:
    """Run a command line of these words, and print the envelope when it has ended."""
    envelope = Envelope(words)
    token = _current.set(envelope)
    try:
        yield
    except SystemExit as ending:
        code = _code(ending)
        _note_misuse(envelope, ending)
        envelope.tell(code)
        raise SystemExit(int(code)) from ending
    except Exception as error:
        envelope.sentence = f"{type(error).__name__}: {error}"
        envelope.tell(ExitCode.FAILURE)
        raise
    finally:
        _current.reset(token)


def name_of(context: typer.Context) -> str:
    """Return the words that name a command, without that of the program."""
    names: list[str] = []
    at = context
    while at.parent is not None:
        names.insert(0, at.info_name or "")
        at = at.parent  # type: ignore[assignment]  # every context of a Typer app is one
    return " ".join(names)


def _print(line: str) -> None:
    try:
        typer.echo(line)
    except BrokenPipeError:
        # Nobody reads any more; what is still to be written must not fail again when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _code(ending: SystemExit) -> ExitCode:
    if isinstance(ending.__context__, typer.Abort):  # Ctrl-C at a question
        return ExitCode.INTERRUPTED
    return ExitCode(int(ending.code or 0))


def _note_misuse(envelope: Envelope, ending: SystemExit) -> None:
    """Take note of what Typer found wrong with the words: it has told people, and nobody else."""
    misuse = ending.__context__
    told = getattr(misuse, "format_message", None)
    if told is not None:
        envelope.sentence = told()
        context = getattr(misuse, "ctx", None)
        envelope.command = envelope.command or ("" if context is None else name_of(context))
