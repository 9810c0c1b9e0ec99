"""What the API answers about seals and evidence, and how a page of seals is asked for."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

_HASH = "SHA-256 in hexadecimal."


class SealsQuery(BaseModel):
    """Which seals to show."""

    model_config = ConfigDict(extra="forbid")

    after: int = Field(0, ge=0, le=2**63 - 1, description="Only the seals after this number.")
    limit: int = Field(100, ge=1, description="How many seals at most.")


class SealShown(BaseModel):
    """A seal: it fixes the events at `after` < position <= `upto`, and the seal before it."""

    number: int
    after: int
    upto: int
    events: int
    root: str = Field(description=f"The root of the Merkle tree (RFC 6962) over the events. {_HASH}")
    previous_hash: str
    sealed_at: datetime
    hash: str = Field(description=f"Over all of the above. {_HASH}")


class SealPage(BaseModel):
    """Seals, in the order of the chain."""

    seals: list[SealShown]
    next_after: int | None = Field(description="Ask for the next page with it; null on the last one.")


class Proof(BaseModel):
    """Where an event stands in the tree of a seal, and the siblings from its leaf up to the root."""

    seal: int
    index: int
    path: list[str]


class EvidentEvent(BaseModel):
    """An event with its proof."""

    position: int
    task_id: UUID
    version: int
    type: str
    schema_version: int
    kind: str
    queue: str
    occurred_at: datetime | None
    recorded_at: datetime | None
    actor: str
    correlation_id: str
    causation_id: str | None
    traceparent: str | None
    payload: str | None = Field(description="Its data as canonical JSON text; null where it was erased.")
    payload_sha256: str
    proof: Proof | None = Field(description="Null where no seal covers it yet.")


class Evidence(BaseModel):
    """All that proves a task's history; `taskledger verify --bundle` checks it without a database."""

    format: str
    format_version: int
    task_id: UUID
    events: list[EvidentEvent]
    seals: list[SealShown] = Field(
        description="Those that the proofs need, and the chain from there to the newest."
    )
