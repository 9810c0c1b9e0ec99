"""The rules that no JSON Schema can say: what breaks one is refused rightly, however well it fits the document."""

import re

_RULES = (
    "must not both be given",
    "input must be (text without NUL characters|integers of at most 64 bits)",  # wherever they stand in it
    "must be a next_cursor of this list",
    "after must be different tasks",  # the same id in capitals
    "must be tasks that exist",
    "the ledger's time",
    r"from must be at most .* \(to\)",
    r"must be an integer, got \d+\.0",  # JSON Schema takes 1.0 for an integer
    r"must be a position from 0 to \d+, got '\d+\.0'",
    "must be given together with",
    "reason must be given",  # where something is done, and not blank
    "must be task ids or refs of the batch",
    "for tasks that are to be (retried|cancelled)",
    r"types must be one of .* in \w+, got",  # each source of the audit has its own
    r"must be absent for \w+, which have none",
    "step must be (at least|whole minutes)",
    r"since must be before .* \(until\)",
    r"start must be between 0 and \d+",  # the end of the log
    "ends_at must be at or after starts_at",
    "the version that the task is at",
    "must be a name of the IANA time zone database",
    "cron must be",
    "url must be",
)
_RULE = re.compile("|".join(_RULES))


def is_beyond_schema(problem: str) -> bool:
    """Whether a problem document tells of such a rule."""
    return _RULE.search(problem) is not None
