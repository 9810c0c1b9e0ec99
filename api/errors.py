"""What can be wrong with a request before the ledger sees it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from api.json_response import timestamp
from ledger.errors import InvalidInputError, InvalidValueError, LedgerError, NotFoundError, TimeExceededError


class Part(StrEnum):
    """The part of a request that is wrong."""

    BODY = "body"
    QUERY = "query"
    HEADER = "header"


class InvalidRequestError(InvalidInputError):
    """A part of the request is not what it must be; the reason names the field, its bound and its value."""

    def __init__(self, part: Part, reason: str) -> None:
        self.part = part
        self.reason = reason
        super().__init__(f"Invalid request {part}: {reason}")


@contextmanager
def refused_in(part: Part) -> Iterator[None]:
    """Say of a value that is refused in which part of the request it stands."""
    try:
        yield
    except InvalidValueError as error:
        raise InvalidRequestError(part, str(error)) from error


class NotAuthenticatedError(LedgerError):
    """Nobody is let in without a key, and this is none, or none that is good."""

    def __init__(self, *, presented: bool) -> None:
        self.presented = presented
        super().__init__(
            "The API key is not known, revoked or over"
            if presented
            else "An API key is needed: send it as `Authorization: Bearer <key>`"
        )


class NotPermittedError(LedgerError):
    """The caller may not do this: its key has not the scope that it needs."""

    def __init__(self, *, needed: str, scopes: Sequence[str]) -> None:
        self.needed = needed
        self.scopes = scopes
        super().__init__(f"This needs the scope {needed}, and the key has {', '.join(scopes)}")


class ForeignPageError(LedgerError):
    """A browser sent this for a page that is neither ours nor named in ALLOWED_ORIGINS."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Refused: {reason}")


class RateExceededError(LedgerError):
    """A key was used more often than it may be."""

    def __init__(self, *, rate_max: int, wait_seconds: float) -> None:
        self.rate_max = rate_max
        self.wait_seconds = wait_seconds
        super().__init__(f"The API key may be used {rate_max} times a second at most")


class InvalidTaskIdError(LedgerError):
    """The task id in the path is no UUID."""

    def __init__(self) -> None:
        super().__init__("Invalid Task ID format")


class InvalidIdError(LedgerError):
    """Another id in the path is no UUID."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"Invalid {what} ID format")


class BodyTooLargeError(LedgerError):
    """The body is larger than the bound, which a setting says; the rest of it was not read."""

    def __init__(self, *, bytes_max: int, setting: str = "LEDGER_BODY_BYTES_MAX") -> None:
        self.bytes_max = bytes_max
        super().__init__(f"The request body must be at most {bytes_max} bytes ({setting})")


class BodyTooSlowError(LedgerError):
    """The body did not arrive in time."""

    def __init__(self, *, seconds_max: float) -> None:
        self.seconds_max = seconds_max
        super().__init__(
            f"The request body must arrive within {seconds_max:g} seconds (LEDGER_BATCH_READ_SECONDS_MAX)"
        )


@dataclass(frozen=True, slots=True)
class ItemError:
    """What is wrong with one item of a batch; no field where it is the item as a whole."""

    index: int
    field: str | None
    message: str


class InvalidBatchError(LedgerError):
    """Items of a batch are not what they must be; nothing was recorded. Not every one of the errors is kept."""

    def __init__(self, errors: Sequence[ItemError], *, count: int) -> None:
        self.errors = errors
        self.count = count
        first = errors[0]
        told = "1 error" if count == 1 else f"{count} errors, the first"
        super().__init__(
            f"Invalid request body: {told} in item {first.index}: {first.message}; nothing was recorded"
        )


class ReadModelBehindError(TimeExceededError):
    """The read model has not come as far as the client asked for, in the time that it is waited for."""

    def __init__(self, *, position: int, position_min: int, seconds_max: float) -> None:
        self.position = position
        self.position_min = position_min
        super().__init__(
            f"The read model is at position {position} and has not reached {position_min} "
            f"within {seconds_max:g} seconds (LEDGER_READ_MODEL_WAIT_SECONDS_MAX)"
        )


class TooManyWaitingError(LedgerError):
    """As many requests as may wait at once, or streams as may be open, are there already."""

    def __init__(self, *, places_max: int, setting: str) -> None:
        self.places_max = places_max
        super().__init__(f"As many as may wait at once are waiting already: {places_max} ({setting})")


class TooManyExportsError(LedgerError):
    """As many exports as may run at once are running already."""

    def __init__(self, *, places_max: int, setting: str) -> None:
        self.places_max = places_max
        super().__init__(f"As many exports as may run at once are running already: {places_max} ({setting})")


class FailureGroupNotFoundError(NotFoundError):
    """There is no failure group with this id."""

    def __init__(self, failure_id: UUID) -> None:
        self.failure_id = failure_id
        super().__init__(f"Failure group {failure_id} not found")


class PastOutOfReachError(TimeExceededError):
    """Too much was recorded since a moment to go through it in time."""

    def __init__(self, *, moment: datetime, seconds_max: float) -> None:
        self.moment = moment
        self.seconds_max = seconds_max
        super().__init__(
            f"What was recorded since {timestamp(moment)} could not be gone through within {seconds_max:g} "
            "seconds (LEDGER_AS_OF_SECONDS_MAX)"
        )


class LedgerArchivedError(NotFoundError):
    """Something that has to be known to tell the past has left the log."""

    def __init__(self, *, asked: str, months: Sequence[str]) -> None:
        self.months = months
        tail = f"{', '.join(months)}, and {'that is' if len(months) == 1 else 'these are'} archived"
        super().__init__(f"The ledger {asked} cannot be told: it takes the events of {tail}")


class TooManyBatchesError(LedgerError):
    """As many batches as may be at once are being taken already."""

    def __init__(self, *, at_once_max: int) -> None:
        self.at_once_max = at_once_max
        super().__init__(
            f"As many batches as may be at once are under way already: {at_once_max} (LEDGER_BATCHES_AT_ONCE_MAX)"
        )
