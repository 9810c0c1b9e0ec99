"""The bundle: checks the evidence of a task (ledger.seals.evidence) by its own bytes alone, without a database.

It proves that these events are what was sealed, at these positions, and that the seals are one chain. It cannot
say that the chain is the ledger's: that takes a seal that was exported before, and is in the bundle. Nor can it
say that the task has no further event: the versions are complete from 1 to the last one, and that one is the
bundle's.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from ledger.errors import InvalidValueError
from ledger.seals.difference import Difference, changed, inserted, wrong_seal
from ledger.seals.evidence import FORMAT, FORMAT_VERSION, TIMES
from ledger.seals.leaf import COLUMNS, entry_of, erased_payload, is_erased, microseconds, payload_digest
from ledger.seals.merkle import leaf_hash, root_of_path
from ledger.seals.seal import Seal


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleVerdict:
    """What the evidence of a task proves.

    Attributes:
        task_id: of the task.
        events: how many events there are.
        unsealed: how many of them no seal covers yet: nothing is proven about these.
        erased: how many have only the digest of their payload left.
        first_seal, last_seal: the seals it comes with; 0 where there are none.
        links_missing: how many seals between the first and the last are left out.
        difference: the first thing that is not right; None where everything is.
    """

    task_id: str
    events: int
    unsealed: int
    erased: int
    first_seal: int
    last_seal: int
    links_missing: int
    difference: Difference | None

    @property
    def is_proven(self) -> bool:
        """Whether all that is sealed is what was sealed."""
        return self.difference is None


@dataclass(frozen=True, slots=True)
class _Event:
    position: int
    event_id: str
    leaf: bytes
    is_erased: bool
    proof: tuple[int, int, Sequence[bytes]] | None  # the seal's number, the index, the path


def read_bundle(path: Path) -> Mapping[str, object]:
    """Return what a file holds; raises InvalidValueError where it is no evidence of a task."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidValueError(field="the bundle", bound=f"a file of JSON ({error})", value=str(path)) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InvalidValueError(field="the bundle", bound="the evidence of a task", value=str(path))
    if document.get("format_version") != FORMAT_VERSION:
        bound = f"of format version {FORMAT_VERSION}"
        raise InvalidValueError(field="the bundle", bound=bound, value=document.get("format_version"))
    return document


def check_bundle(document: Mapping[str, object], exported: Iterable[Seal] | None = None) -> BundleVerdict:
    """Return what the evidence of a task proves, by itself or against seals that were exported before.

    Raises:
        InvalidValueError: it is no evidence of a task.
    """
    try:
        task_id = str(document["task_id"])
        events = [_event_of(one) for one in document["events"]]  # type: ignore[attr-defined]  # or it is refused
        seals = [Seal.from_dict(one) for one in document["seals"]]  # type: ignore[attr-defined]  # the same
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InvalidValueError(
            field="the bundle", bound="whole", value=f"{type(error).__name__}: {error}"
        ) from error
    if not events:
        raise InvalidValueError(field="the bundle", bound="of at least one event", value=0)
    difference = _fault_of_chain(seals) or _fault_of_stream(task_id, events) or _fault_of_proofs(events, seals)
    if difference is None and exported is not None:
        difference = _fault_of_anchors(events, seals, exported)
    return BundleVerdict(
        task_id=task_id,
        events=len(events),
        unsealed=sum(event.proof is None for event in events),
        erased=sum(event.is_erased for event in events),
        first_seal=seals[0].number if seals else 0,
        last_seal=seals[-1].number if seals else 0,
        links_missing=seals[-1].number - seals[0].number + 1 - len(seals) if seals else 0,
        difference=difference,
    )


def _fault_of_chain(seals: Sequence[Seal]) -> Difference | None:
    for seal in seals:
        if seal.hash != seal.expected_hash():
            return wrong_seal(seal.number, "its hash is not that of its record")
    for previous, seal in pairwise(seals):
        if seal.number <= previous.number:
            return wrong_seal(seal.number, f"it follows seal {previous.number}")
        if seal.number == previous.number + 1 and (fault := seal.fault_after(previous)) is not None:
            return wrong_seal(seal.number, fault)
    return None


def _fault_of_stream(task_id: str, events: Sequence[_Event]) -> Difference | None:
    for version, event in enumerate(events, start=1):
        if event.event_id != f"{task_id}:{version}":
            return wrong_seal(None, f"event {version} of task {task_id} is not there, but {event.event_id}")
    return None


def _fault_of_proofs(events: Sequence[_Event], seals: Sequence[Seal]) -> Difference | None:
    by_number = {seal.number: seal for seal in seals}
    sealed_upto = seals[-1].upto if seals else 0
    for event in events:
        if event.proof is None:
            if event.position <= sealed_upto:
                return inserted(seals[-1].number, event.position, event.event_id)
            continue
        number, index, path = event.proof
        seal = by_number.get(number)
        if seal is None:
            return wrong_seal(number, f"position {event.position} needs it, and it is not there")
        is_covered = seal.after < event.position <= seal.upto
        if not is_covered or root_of_path(event.leaf, index=index, size=seal.events, path=path) != seal.root:
            return changed(number, event.position, event.event_id)
    return None


def _fault_of_anchors(
    events: Sequence[_Event], seals: Sequence[Seal], exported: Iterable[Seal]
) -> Difference | None:
    by_number = {seal.number: seal for seal in seals}
    known: set[int] = set()
    for seal in exported:
        if seal.number in by_number:
            if by_number[seal.number].hash != seal.hash:
                return wrong_seal(seal.number, "it is not the one that was exported")
            known.add(seal.number)
    # A seal is known where it was exported, or where the next one, which holds its hash, is known.
    for seal in reversed(seals):
        if seal.number + 1 in known and seal.number + 1 in by_number:
            known.add(seal.number)
    for event in events:
        if event.proof is not None and event.proof[0] not in known:
            return wrong_seal(event.proof[0], "no seal that was exported vouches for it")
    return None


def _event_of(given: Mapping[str, object]) -> _Event:
    values = {name: given[name] for name in COLUMNS}
    for name in TIMES:
        if values[name] is not None:
            values[name] = microseconds(datetime.fromisoformat(str(values[name])))
    payload = given["payload"]
    data = erased_payload(str(given["payload_sha256"])) if payload is None else str(payload)
    if payload_digest(data).hex() != given["payload_sha256"]:
        data = ""  # either was altered: this is no payload, so that it is not what was sealed
    return _Event(
        position=int(str(given["position"])),
        event_id=f"{given['task_id']}:{given['version']}",
        leaf=leaf_hash(entry_of([*values.values(), data])),
        is_erased=is_erased(data),
        proof=_proof_of(given),
    )


def _proof_of(given: Mapping[str, object]) -> tuple[int, int, Sequence[bytes]] | None:
    proof = given["proof"]
    if proof is None:
        return None
    if not isinstance(proof, dict):
        raise TypeError(proof)
    return int(proof["seal"]), int(proof["index"]), [bytes.fromhex(node) for node in proof["path"]]
