"""The contenders in the order of a round: ours first, then the peers that were asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench.peers.bench import Bench
from tests.bench.peers.catalogue import PEERS
from tests.bench.peers.cell import Cell
from tests.bench.peers.ours import OURS, OURS_IN_PROCESS, measure_ours, with_port
from tests.bench.peers.peer import JobName, Peer
from tests.bench.peers.sample import Sample

REFERENCES = {JobName.ENQUEUE: OURS_IN_PROCESS.name, JobName.BATCH: OURS_IN_PROCESS.name, JobName.DRAIN: OURS.name}
"""What the others are compared with: peers enqueue in process too, and drain by a worker behind a server."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Who does a job, and how it is measured once."""

    peer: Peer
    measure: Callable[[Bench, JobName], Sample]


def contenders(names: Sequence[str]) -> list[Contender]:
    """Return ours and the peers of these names, all of them where none is named.

    Raises:
        ValueError: there is no such peer.
    """
    known = {peer.name: peer for peer in PEERS}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no peer is called {unknown[0]!r}; there are {', '.join(known)}")
    ours = [Contender(OURS, measure_ours), Contender(OURS_IN_PROCESS, _measure_in_process)]
    return ours + [Contender(known[name], _measuring(known[name])) for name in names or known]


def _measure_in_process(bench: Bench, job: JobName) -> Sample:
    return Cell(bench, with_port(OURS_IN_PROCESS), job).measure()


def _measuring(peer: Peer) -> Callable[[Bench, JobName], Sample]:
    return lambda bench, job: Cell(bench, peer, job).measure()
