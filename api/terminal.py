"""What the commands on a terminal share: the ledger that they work on, acts as they were asked for, and JSON."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import typer

from api.json_response import to_json
from api.origin import terminal_actor
from ledger.bootstrap import Ledger, open_ledger
from ledger.dead_letters.acts import Intent
from ledger.envelope import answer
from ledger.roles import start_up
from ledger.settings import load_settings
from ledger.store.records import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """An act as it was asked for; `rate` and `limit` count for what a filter finds."""

    act: str
    asked: Mapping[str, object]
    rate: int
    limit: int | None
    reason: str

    @property
    def intent(self) -> Intent:
        """Who acts, and why."""
        return Intent(reason=self.reason, origin=Origin(actor=terminal_actor()))


@asynccontextmanager
async def opened(database_url: str | None, *, role: str) -> AsyncIterator[Ledger]:
    """Open the ledger for a command; `role` names it in the log."""
    async with open_ledger(start_up(load_settings(database_url=database_url), role=role)) as ledger:
        yield ledger


def answer_json(content: object) -> None:
    """Give the answer of a command with --json: the envelope has it."""
    answer(to_json(content))


def print_line(content: object) -> None:
    """Print one object of a stream with --json, bare."""
    typer.echo(to_json(content).decode())
