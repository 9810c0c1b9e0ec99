"""The server itself: whether it lives and is ready, its metrics, the relay and the broker."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.sdk.calls import Answer, Call, look, reader
from api.sdk.operations import Asked, Blocking, Looping


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the server lives (ok), or can serve (ready, degraded); `checks` says what was looked at."""

    status: str
    checks: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A process that leads the relays, or would."""

    backend_pid: int
    process: str | None = None
    address: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayShard:
    """How far publishing has come in one shard of the log; no leader while nobody publishes it."""

    shard: int
    checkpoint: int
    lag_events: int
    lag_seconds: float
    leader: Candidate | None = None
    checkpoint_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayPosition:
    """How far publishing has come; no leader while nobody publishes."""

    checkpoint: int
    horizon: int
    lag_events: int
    lag_seconds: float
    leader: Candidate | None = None
    standbys: tuple[Candidate, ...] = ()
    checkpoint_at: datetime | None = None
    shards: tuple[RelayShard, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """How much lies in one of the broker's queues."""

    name: str
    queue: str
    messages: int
    consumers: int
    band: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """The broker as the server reaches it; `problem` says why it does not answer."""

    kind: str | None = None
    version: str | None = None
    is_reachable: bool | None = None
    problem: str | None = None
    queues: tuple[QueueDepth, ...] = ()
    queues_left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """The relay and the broker."""

    relay: RelayPosition
    broker: Broker


class ServerOperations:
    """What is asked of the server itself."""

    @Asked
    def health(self) -> Call[Health]:
        """Say whether the server lives; nothing behind it is looked at."""
        return look(reader(Health), "health")

    @Asked
    def ready(self) -> Call[Health]:
        """Say whether the server can serve.

        Raises:
            UnavailableError: not yet, for longer than the retries wait; `members["checks"]` says why.
        """
        return look(reader(Health), "health", "ready")

    @Asked
    def metrics(self) -> Call[str]:
        """Return the metrics, as Prometheus reads them."""
        return look(_text, "metrics")

    @Asked
    def relay(self) -> Call[Relay]:
        """Return how far publishing has come, and what lies in the broker."""
        return look(reader(Relay), "relay")


class Server(ServerOperations, Blocking):
    """The server itself; as `TaskLedger.server`."""


class AsyncServer(ServerOperations, Looping):
    """The server itself; as `AsyncTaskLedger.server`."""


def _text(answer: Answer) -> str:
    return answer.body.decode()
