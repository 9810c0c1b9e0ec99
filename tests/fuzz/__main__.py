"""`python -m tests.fuzz --minutes 10 --seed 1`: requests that nobody would think of, and what is found.

It starts a Postgres of its own, lets a ledger be inhabited by one of everything in every state, and has
schemathesis send every operation of the OpenAPI document what it allows and what it forbids: for 45 % of the time
without keys, for 25 % with an admin's, and for 10 % with a key of each other scope. Once there are keys, each
operation has to refuse whoever has none.
It prints how many cases each part sent, what the answers were, and each finding with a `curl` that repeats it;
exit 1 if there are any. The suite does the same, with few cases of each operation:
`tests/integration/test_openapi_conformance.py`.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from ledger.migrate import migrate
from tests.fuzz.application import HostedApi, close_hosted
from tests.fuzz.campaign import Effort, Found, search
from tests.fuzz.inhabitants import inhabit, keys_of_every_scope
from tests.services.postgres import chosen_binaries, run_apart
from tests.services.private_postgres import PrivatePostgres

# How much of the time goes to whom.
_SHARES = {None: 0.45, "admin": 0.25, "read": 0.1, "submit": 0.1, "operate": 0.1}


def main() -> int:
    """Run it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=50, help="cases of each operation between two rounds")
    options = parser.parse_args()
    findings = 0
    for scope, share in _SHARES.items():
        seconds = max(int(options.minutes * 60 * share), 1)
        found = _searched(scope, Effort(examples=options.examples, seconds=seconds, seed=options.seed))
        findings += len(found.findings)
        _tell(scope, found)
    return 1 if findings else 0


def _searched(scope: str | None, effort: Effort) -> Found:
    with TemporaryDirectory() as directory:
        server = PrivatePostgres(Path(directory) / "postgres", binaries=chosen_binaries())
        url = server.start()
        try:
            run_apart(migrate(url))
            there = run_apart(inhabit(url, Path(directory)))
            if scope is not None:
                effort = replace(effort, token=run_apart(keys_of_every_scope(url))[scope])
            found = search(HostedApi(url), there, effort)
            close_hosted()
        finally:
            server.stop()
    return found


def _tell(scope: str | None, found: Found) -> None:
    part = "without keys" if scope is None else f"with a key to {scope}"
    answers = ", ".join(f"{count:,} of {status}" for status, count in sorted(found.statuses.items()))
    typer.echo(f"{part}: {len(found.cases)} operations, {found.cases.total():,} cases, {answers}")
    for name, told in found.findings.items():
        typer.echo(f"FOUND {name}\n{told}\n")


if __name__ == "__main__":
    sys.exit(main())
