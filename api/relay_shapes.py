"""The shapes of answers about the relay and the broker, for the OpenAPI document."""

from datetime import datetime

from pydantic import BaseModel, Field

from ledger.broker.port import Band
from ledger.relay_status import LAG_COUNTED_MAX, QUEUES_MAX


class CandidateShown(BaseModel):
    """A process that leads, or would."""

    backend_pid: int = Field(description="Of its session in the database.")
    process: str | None = Field(description="The session's name: its role, host and process id.")
    address: str | None = Field(description="From where it is connected; null where the database does not tell.")
    since: datetime | None = Field(description="When its session began: it leads or waits since then, or later.")


class ShardShown(BaseModel):
    """How far publishing has come in one of the shards that the log is divided into (LEDGER_RELAY_SHARDS)."""

    shard: int = Field(description="Its number, from 0 on.")
    leader: CandidateShown | None = Field(description="Null while nobody publishes it.")
    checkpoint: int = Field(description="The position up to which everything of its tasks is published.")
    checkpoint_at: datetime | None
    lag_events: int = Field(description="How many events of its tasks are not published, as far as counted.")
    lag_seconds: float = Field(description="For how long the oldest of these has been in the log.")


class RelayPosition(BaseModel):
    """How far publishing has come, as a whole and by shards."""

    leader: CandidateShown | None = Field(
        description="Who publishes the shard that is furthest behind; null while nobody publishes one of them."
    )
    standbys: list[CandidateShown] = Field(description="Relays that lead nothing and wait for a lead.")
    checkpoint: int = Field(description="The position up to which everything is published.")
    checkpoint_at: datetime | None
    horizon: int = Field(description="The position up to which the log is complete for ever.")
    lag_events: int = Field(description=f"How many events are not published; counted up to {LAG_COUNTED_MAX}.")
    lag_seconds: float = Field(description="For how long the oldest of these has been in the log.")
    shards: list[ShardShown]


class QueueDepthShown(BaseModel):
    """How much lies in one of the broker's queues."""

    name: str = Field(description="The broker's name for it.")
    queue: str
    band: Band | None = Field(description="Of a work queue; null for the dead letters.")
    messages: int = Field(description="How many wait for a consumer.")
    consumers: int


class BrokerShown(BaseModel):
    """The broker, as this process reaches it."""

    kind: str | None = Field(description="`memory` or `rabbitmq`.", examples=["rabbitmq"])
    version: str | None
    is_reachable: bool | None = Field(description="Null where this process has no broker (RABBITMQ_URL).")
    problem: str | None = Field(description="Why it does not answer.")
    queues: list[QueueDepthShown]
    queues_left_out: int = Field(description=f"Task queues beyond the first {QUEUES_MAX}, not looked at.")


class RelayShown(BaseModel):
    """The relay and the broker."""

    relay: RelayPosition
    broker: BrokerShown
