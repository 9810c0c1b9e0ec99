"""What can be wrong with a request before the ledger sees it."""

from enum import StrEnum

from ledger.errors import LedgerError


class Part(StrEnum):
    """The part of a request that is wrong."""

    BODY = "body"
    QUERY = "query"
    HEADER = "header"


class InvalidRequestError(LedgerError):
    """A part of the request is not what it must be; the reason names the field, its bound and its value."""

    def __init__(self, part: Part, reason: str) -> None:
        self.part = part
        self.reason = reason
        super().__init__(f"Invalid request {part}: {reason}")


class InvalidTaskIdError(LedgerError):
    """The task id in the path is no UUID."""

    def __init__(self) -> None:
        super().__init__("Invalid Task ID format")


class BodyTooLargeError(LedgerError):
    """The body is larger than the bound; the rest of it was not read."""

    def __init__(self, *, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        super().__init__(f"The request body must be at most {bytes_max} bytes (LEDGER_BODY_BYTES_MAX)")
