"""The difference: what a verification found first, in the order of the log."""

from dataclasses import dataclass
from enum import StrEnum


class DifferenceKind(StrEnum):
    """How something is not what was sealed."""

    CHANGED = "changed"
    REMOVED = "removed"
    INSERTED = "inserted"
    SEAL = "seal"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first event that is not what was sealed, or the first seal that is not what was made.

    Attributes:
        kind: changed, removed, inserted, or that a seal or an archive itself is not right.
        sentence: the same for a person.
        seal: the seal that covers it, or that is wrong.
        position: of the event; None where the seal is wrong.
        event_id: `task_id:version`; None for an event that is gone: a seal keeps no more of it than its position.
    """

    kind: DifferenceKind
    sentence: str
    seal: int | None
    position: int | None = None
    event_id: str | None = None

    def __str__(self) -> str:
        return self.sentence


def changed(seal: int, position: int, event_id: str) -> Difference:
    """Return that an event is not what it was when it was sealed."""
    sentence = f"position {position} ({event_id}) was changed after it was sealed (seal {seal})"
    return Difference(
        kind=DifferenceKind.CHANGED, sentence=sentence, seal=seal, position=position, event_id=event_id
    )


def inserted(seal: int, position: int, event_id: str) -> Difference:
    """Return that an event was not there when its positions were sealed."""
    sentence = f"position {position} ({event_id}) was inserted after its range was sealed (seal {seal})"
    return Difference(
        kind=DifferenceKind.INSERTED, sentence=sentence, seal=seal, position=position, event_id=event_id
    )


def removed(seal: int, position: int) -> Difference:
    """Return that an event is gone."""
    sentence = f"position {position} was removed after it was sealed (seal {seal})"
    return Difference(kind=DifferenceKind.REMOVED, sentence=sentence, seal=seal, position=position)


def wrong_seal(seal: int | None, reason: str) -> Difference:
    """Return that a seal is not right, and why."""
    sentence = f"seal {seal} is not right: {reason}" if seal is not None else reason
    return Difference(kind=DifferenceKind.SEAL, sentence=sentence, seal=seal)


def wrong_archive(month: str, reason: str, *, seal: int | None = None) -> Difference:
    """Return that the record of an archive, or its file, is not right, and why."""
    sentence = f"the archive of {month} is not right: {reason}"
    return Difference(kind=DifferenceKind.ARCHIVE, sentence=sentence, seal=seal)
