"""The catalogue of the peers that are measured beside us."""

from tests.bench.peers.celery import CELERY, CELERY_RESULTS
from tests.bench.peers.dbos import DBOS
from tests.bench.peers.dramatiq import DRAMATIQ
from tests.bench.peers.eventsourcing import EVENTSOURCING
from tests.bench.peers.peer import Peer
from tests.bench.peers.pgqueuer import PGQUEUER
from tests.bench.peers.procrastinate import PROCRASTINATE
from tests.bench.peers.taskiq import TASKIQ

PEERS: tuple[Peer, ...] = (
    CELERY, CELERY_RESULTS, DRAMATIQ, TASKIQ, PROCRASTINATE, PGQUEUER, DBOS, EVENTSOURCING
)  # fmt: skip
