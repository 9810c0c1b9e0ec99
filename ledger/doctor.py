"""The doctor: checks online what must always hold (the invariants), and names every id that breaks one.

The numbers are those of the invariants: 2 the log, 3 one outcome an attempt, 4 nothing is forgotten, 5 everything
is published, 7 the seals, 8 what is erased. Number 6, that the read models equal the fold, is for
`projections.verify`; the command runs both. Of 7 only what costs little is looked at: `taskledger verify` proves
that no event was changed. Nothing here writes, and every check is one statement, so that it sees one state.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from ledger.bootstrap import Ledger
from ledger.read_model import fetch_rows
from ledger.telemetry import INVARIANT_BREACHES, gauge_lines

IDS_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach: which invariant, which check, whose id, and what was found."""

    invariant: int
    check: str
    id: str
    found: str

    def __str__(self) -> str:
        """Return it as a line for a person."""
        return f"invariant {self.invariant}, {self.check.replace('_', ' ')}: {self.id}: {self.found}"


@dataclass(frozen=True, slots=True)
class Check:
    """Something that is looked for; `is_bounded` says that it counts only when it has lasted for the bound."""

    invariant: int
    name: str
    is_bounded: bool = False


CHECKS = (
    Check(2, "broken_streams"),
    Check(2, "doubled_positions"),
    Check(2, "unguarded_tables"),
    Check(3, "doubled_outcomes"),
    Check(3, "overlapping_attempts"),
    Check(4, "forgotten_ready_tasks", is_bounded=True),
    Check(4, "forgotten_held_tasks", is_bounded=True),
    Check(4, "overdue_tasks", is_bounded=True),
    Check(4, "forgotten_follow_ups", is_bounded=True),
    Check(4, "orphaned_tasks", is_bounded=True),
    Check(5, "unpublished_events", is_bounded=True),
    Check(7, "unchained_seals"),
    Check(7, "miscounted_seals"),
    Check(8, "keyless_payloads"),
    Check(8, "undestroyed_keys"),
    Check(8, "unrecorded_erasures"),
)

# What a process may ask again and again: it reads no more than the tasks that are unfinished.
CHEAP_CHECKS = tuple(
    check
    for check in CHECKS
    if check.name
    in (
        "unguarded_tables",
        "forgotten_ready_tasks",
        "forgotten_held_tasks",
        "overdue_tasks",
        "orphaned_tasks",
        "unpublished_events",
    )
)


async def examine(
    ledger: Ledger, *, bound_seconds: float | None = None, checks: Sequence[Check] = CHECKS
) -> list[Finding]:
    """Return every breach that is found, at most 20 ids a check; empty means that all of it holds.

    Args:
        ledger: the ledger to examine.
        bound_seconds: how long a task or an event may wait before it counts as forgotten; the default allows
            the reconciler two rounds and a lease to run out.
        checks: what to look for.
    """
    settings = ledger.settings
    seconds = bound_seconds or 2 * settings.reconcile_after_seconds + settings.lease_seconds
    bound = timedelta(seconds=seconds)
    findings: list[Finding] = []
    for check in checks:
        arguments = (IDS_SHOWN_MAX, bound) if check.is_bounded else (IDS_SHOWN_MAX,)
        rows = await fetch_rows(ledger.database, check.name, *arguments)
        findings += [Finding(check.invariant, check.name, row["id"], row["found"]) for row in rows]
    return findings


def breaches(findings: Sequence[Finding], checks: Sequence[Check]) -> list[tuple[Check, int]]:
    """Return how many breaches each check found, none included."""
    counts = Counter((finding.invariant, finding.check) for finding in findings)
    return [(check, counts[check.invariant, check.name]) for check in checks]


def breaches_metric(findings: Sequence[Finding], checks: Sequence[Check] = CHECKS) -> list[str]:
    """Return how many breaches each check found, none included, as the lines of a gauge."""
    return gauge_lines(
        INVARIANT_BREACHES,
        (
            ({"invariant": str(check.invariant), "check": check.name}, count)
            for check, count in breaches(findings, checks)
        ),
    )
