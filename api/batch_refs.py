"""The refs of a batch: the names by which its items refer to each other while nobody knows their ids."""

import re
from collections import deque
from collections.abc import Mapping, Sequence
from uuid import UUID

from uuid_utils.compat import uuid7

from api.intake import task_id_in
from api.schemas import REF_PATTERN
from ledger.errors import InvalidValueError

_REF = re.compile(REF_PATTERN)
_SHOWN_MAX = 10


class Refs:
    """The refs of one batch, with the ids that they stand for.

    An id is allotted where its ref is met first, be it where an item bears it or where another one waits for it.
    So the items are read once, in their order, whichever way they refer to each other.
    """

    def __init__(self) -> None:
        self._ids: dict[str, UUID] = {}
        self._bearers: dict[str, int] = {}
        self._waits_for: dict[str, list[str]] = {}
        self._first_mentions: dict[str, int] = {}

    def bear(self, ref: str, *, index: int) -> UUID:
        """Return the id of the item that bears the ref; raises InvalidValueError for a ref that cannot be one."""
        if not _REF.fullmatch(ref) or task_id_in(ref) is not None:
            bound = "1 to 100 characters of A-Z a-z 0-9 _ . : / -, and no task id"
            raise InvalidValueError(field="ref", bound=bound, value=ref)
        if ref in self._bearers:
            raise InvalidValueError(
                field="ref", bound=f"another than that of item {self._bearers[ref]}", value=ref
            )
        self._bearers[ref] = index
        return self._allotted(ref)

    def mention(self, ref: str, *, by: str | None, index: int) -> UUID:
        """Return the id that a ref stands for in the `after` of an item, which bears a ref of its own or none."""
        if ref == by:
            raise InvalidValueError(field="after", bound="other tasks than the item itself", value=ref)
        if not _REF.fullmatch(ref):
            raise InvalidValueError(field="after", bound="task ids or refs of the batch", value=ref)
        self._first_mentions.setdefault(ref, index)
        if by is not None:
            self._waits_for.setdefault(by, []).append(ref)
        return self._allotted(ref)

    def unborne(self) -> list[tuple[int, str]]:
        """Return the refs that no item bears, each with the first item that waits for it."""
        return [(index, ref) for ref, index in self._first_mentions.items() if ref not in self._bearers]

    def circle(self) -> tuple[int, str] | None:
        """Return a circle of items that wait for each other, in words, with its first item; None where none is."""
        refs = find_circle(self._waits_for)
        if refs is None:
            return None
        shown = " → ".join(refs[:_SHOWN_MAX])
        rest = " → …" if len(refs) > _SHOWN_MAX else f" → {refs[0]}"
        return min(self._bearers[ref] for ref in refs), f"{shown}{rest} ({len(refs)} items)"

    def _allotted(self, ref: str) -> UUID:
        if ref not in self._ids:
            self._ids[ref] = uuid7()
        return self._ids[ref]


def find_circle(waits_for: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Return the nodes of a circle, each of which waits for the next and the last for the first; None if none.

    Kahn's topological sort: who waits for nobody is taken away, again and again; a circle is what remains.
    """
    open_count = {node: len(others) for node, others in waits_for.items()}
    waiting: dict[str, list[str]] = {}
    for node, others in waits_for.items():
        for other in others:
            waiting.setdefault(other, []).append(node)
    free = deque(node for node in waiting if not open_count.get(node))
    while free:
        for node in waiting.get(free.popleft(), ()):
            open_count[node] -= 1
            if not open_count[node]:
                free.append(node)
    entangled = {node for node, count in open_count.items() if count}
    return _walk(waits_for, entangled) if entangled else None


def _walk(waits_for: Mapping[str, Sequence[str]], entangled: set[str]) -> list[str]:
    # Each entangled node waits for an entangled one, so that a walk along them comes back to where it has been.
    node = min(entangled)
    places: dict[str, int] = {}
    path: list[str] = []
    while node not in places:
        places[node] = len(path)
        path.append(node)
        node = next(other for other in waits_for[node] if other in entangled)
    return path[places[node] :]
