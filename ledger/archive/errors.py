"""The errors of archives that nobody else knows of."""

from ledger.errors import ArchiveRefusedError, NotFoundError


class ArchiveNotFoundError(ArchiveRefusedError, NotFoundError):
    """There is no archive of a month."""
