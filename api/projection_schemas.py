"""The shapes of the projections and their runs over HTTP."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from projections.definition import NAME_PATTERN
from projections.runs import Act, Run, RunState
from projections.standing import Standing


class RunsQuery(BaseModel):
    """Which runs to list."""

    model_config = ConfigDict(extra="forbid")

    before: UUID | None = Field(None, description="Only runs older than this one: the `next_before` of a page.")
    limit: int = Field(50, ge=1, description="How many runs at most.")


class DifferenceShown(BaseModel):
    """Where a read model is not what the ledger says."""

    key: str
    column: str = Field(description="`row` where one side has no row at all.")
    expected: str | None
    found: str | None


class RunShown(BaseModel):
    """A run: what somebody asked to be done with a read model, and how far that is."""

    run_id: UUID
    projection: str
    act: Act
    state: RunState
    phase: str | None
    events_done: int
    events_total: int
    events_per_second: float
    eta_seconds: float | None
    swap_seconds: float | None = Field(description="How long readers waited for the swap of a rebuild.")
    position: int | None = Field(description="Of the read model, when the run ended.")
    differences: list[DifferenceShown] | None = Field(
        description="Of a verification that has ended, the first ones."
    )
    difference_count: int | None = Field(description="How many there are, counted up to 1000.")
    error: str | None
    tries: int = Field(description="How many processes have begun it.")
    actor: str
    reason: str
    requested_at: datetime
    started_at: datetime | None
    updated_at: datetime
    ended_at: datetime | None


class RunPage(BaseModel):
    """A page of runs, newest first."""

    runs: list[RunShown]
    next_before: UUID | None = Field(description="Ask for the next page with it; null on the last one.")


class HaltShown(BaseModel):
    """Why a read model does not go on."""

    position: int
    error: str
    recorded_at: datetime


class ProjectionListed(BaseModel):
    """A projection, and how its read model stands to the ledger."""

    name: str = Field(pattern=NAME_PATTERN)
    version: int = Field(description="Of the projection of this process.")
    made_by: int | None = Field(description="The version that made the read model; null where there is none.")
    position: int | None
    horizon: int
    events_behind: int
    lag_seconds: float
    tables: list[str]
    error: HaltShown | None


class ProjectionShown(ProjectionListed):
    """A projection with its newest run."""

    last_run: RunShown | None


class ProjectionList(BaseModel):
    """Every projection that this process knows."""

    projections: list[ProjectionListed]


def standing_body(standing: Standing) -> dict[str, object]:
    """Return how a read model stands, as it is answered."""
    return {**standing.facts(), "error": standing.halt}


def run_body(run: Run) -> dict[str, object]:
    """Return a run as it is answered."""
    return {
        "run_id": run.run_id,
        "projection": run.projection,
        "act": run.act,
        "state": run.state,
        "phase": run.phase,
        "events_done": run.events_done,
        "events_total": run.events_total,
        "events_per_second": round(run.events_per_second, 1),
        "eta_seconds": None if run.eta_seconds is None else round(run.eta_seconds, 1),
        "swap_seconds": run.swap_seconds,
        "position": run.upto_position,
        "differences": run.differences,
        "difference_count": run.difference_count,
        "error": run.error,
        "tries": run.tries,
        "actor": run.actor,
        "reason": run.reason,
        "requested_at": run.requested_at,
        "started_at": run.started_at,
        "updated_at": run.updated_at,
        "ended_at": run.ended_at,
    }
