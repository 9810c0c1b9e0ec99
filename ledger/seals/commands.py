"""What the commands that prove do, and how they say it on a terminal."""

import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TextIO
from uuid import UUID

import orjson
import typer

from ledger.bars import counting
from ledger.bootstrap import open_ledger
from ledger.envelope import answer, ended
from ledger.errors import InvalidValueError
from ledger.exit_codes import ExitCode
from ledger.roles import start_up
from ledger.seals.bundle import BundleVerdict, check_bundle, read_bundle
from ledger.seals.evidence import gather_evidence
from ledger.seals.export import export_seals, read_seals_file
from ledger.seals.verification import Verdict, Verifier
from ledger.settings import Settings, load_settings


async def run_verify(
    database_url: str | None,
    *,
    from_position: int,
    against: Path | None,
    archives: Path | None,
    as_json: bool,
) -> None:
    """Print what is proven of the ledger, and end with exit code 1 where something is not what was sealed."""
    async with open_ledger(_settings(database_url)) as ledger:
        with counting("verify") as report:
            verifier = Verifier(ledger, report)
            verdict = await verifier.verify(from_position=from_position, archives=archives)
            if verdict.is_proven and against is not None:
                verdict = replace(verdict, difference=await verifier.compare(read_seals_file(against)))
    if not as_json:
        for months in verdict.unverified:
            typer.echo(f"archived, not verified: {months}")
    _print(verdict, _sentence(verdict), as_json=as_json)


async def run_verify_bundle(bundle: Path, *, against: Path | None, as_json: bool) -> None:
    """Print what the evidence of a task proves, and end with exit code 1 where it does not hold."""
    exported = None if against is None else read_seals_file(against)
    verdict = check_bundle(read_bundle(bundle), exported)
    _print(verdict, _sentence_of_bundle(verdict, is_anchored=against is not None), as_json=as_json)


async def run_evidence(
    task_id: UUID, *, database_url: str | None, output: Path | None, with_key: bool = False
) -> None:
    """Write the evidence of a task; with the key of an erasable one as `payload_key`, in base64.

    Raises:
        PayloadKeyMissingError: the task has none, or not any more, or this process cannot have it.
    """
    async with open_ledger(_settings(database_url)) as ledger:
        gathered = await gather_evidence(ledger, task_id)
        if with_key:
            gathered["payload_key"] = b64encode(await ledger.vault.key_of(task_id)).decode("ascii")
    with _writing(output) as file:
        file.write(orjson.dumps(gathered, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())


async def run_export_seals(output: Path, *, database_url: str | None, after: int) -> None:
    """Write the seals."""
    async with open_ledger(_settings(database_url)) as ledger:
        with _writing(None if str(output) == "-" else output) as file:
            exported = await export_seals(ledger.database, file, after=after)
    typer.echo(f"{_counted(exported, 'seal')} exported", err=True)


def _print(verdict: Verdict | BundleVerdict, sentence: str, *, as_json: bool) -> None:
    if as_json:
        answer(orjson.dumps({"proven": verdict.is_proven, **asdict(verdict)}))
    elif verdict.difference is None:
        typer.echo(sentence)
    else:
        typer.echo(str(verdict.difference))
    if not verdict.is_proven:
        raise ended(ExitCode.FAILURE, f"not proven; before that: {sentence}")


def _sentence(verdict: Verdict) -> str:
    proven = f"{_counted(verdict.events, 'event')} in {_counted(verdict.seals, 'seal')} proven"
    erased = f", {_counted(verdict.erased, 'payload')} of them erased" if verdict.erased else ""
    erased += f", {_counted(verdict.archived, 'event')} of them archived" if verdict.archived else ""
    unsealed = f"; {_counted(verdict.unsealed, 'event')} after that not sealed yet" if verdict.unsealed else ""
    return f"{proven}{erased}, up to position {verdict.upto}{unsealed}"


def _sentence_of_bundle(verdict: BundleVerdict, *, is_anchored: bool) -> str:
    proven = f"task {verdict.task_id}: {_counted(verdict.events - verdict.unsealed, 'event')} proven"
    erased = f", {_counted(verdict.erased, 'payload')} of them erased" if verdict.erased else ""
    unsealed = f", {verdict.unsealed} not sealed yet" if verdict.unsealed else ""
    if is_anchored:
        return f"{proven}{erased}{unsealed}; the exported seals vouch for it"
    condition = f"if seal {verdict.last_seal} is the ledger's"
    if verdict.links_missing:
        condition = (
            f"if these seals are the ledger's ({_counted(verdict.links_missing, 'link')} between them left out)"
        )
    return f"{proven}{erased}{unsealed}, {condition}: compare with exported seals (--against)"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@contextmanager
def _writing(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise InvalidValueError(field="FILE", bound=f"writable ({error.strerror})", value=str(path)) from error
    with file:
        yield file


def _settings(database_url: str | None) -> Settings:
    return start_up(load_settings(database_url=database_url), role="verify")
