"""How a read model stands to the ledger: who made it, how far it is, and how far behind."""

from dataclasses import dataclass
from datetime import timedelta

from pydantic import JsonValue

from ledger.bootstrap import Ledger
from ledger.queries import query
from projections.generation import LIVE, read_version
from projections.halt import Halt, read_halt
from projections.projection import Projection


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One read model at one moment.

    Attributes:
        version: of the projection of this release.
        made_by: the version that made the live generation; 0 where nobody knows, None where there is none.
        position: its checkpoint; None where it has none.
        horizon: the position up to which the log is complete.
        events_behind: how many events it has not folded yet.
        lag: how long ago the first of them was recorded; zero where there is none.
        halt: why it does not go on; None where it does.
    """

    name: str
    version: int
    made_by: int | None
    position: int | None
    horizon: int
    events_behind: int
    lag: timedelta
    tables: tuple[str, ...] = ()
    halt: Halt | None = None

    def __str__(self) -> str:
        halted = "" if self.halt is None else f", error after position {self.halt.position}: {self.halt.error}"
        if self.made_by is None or self.position is None:
            return f"{self.name}: not made yet (horizon {self.horizon}){halted}"
        outdated = "" if self.made_by == self.version else f", made by version {self.made_by}: rebuild it"
        return (
            f"{self.name}: version {self.version}{outdated}, position {self.position} of {self.horizon}, "
            f"{self.events_behind} events behind, lag {self.lag.total_seconds():.3f} s{halted}"
        )

    def facts(self) -> dict[str, JsonValue]:
        """Return it for a program to read."""
        return {
            "name": self.name,
            "version": self.version,
            "made_by": self.made_by,
            "position": self.position,
            "horizon": self.horizon,
            "events_behind": self.events_behind,
            "lag_seconds": self.lag.total_seconds(),
            "tables": list(self.tables),
            "error": None
            if self.halt is None
            else {
                "position": self.halt.position,
                "error": self.halt.error,
                "recorded_at": self.halt.recorded_at.isoformat(),
            },
        }


async def read_standing(ledger: Ledger, projection: Projection) -> Standing:
    """Return how the read model of a projection stands now.

    Raises:
        StoreUnavailableError: the database is out of reach.
    """
    horizon = await ledger.store.safe_position()
    async with ledger.database.connection() as connection:
        made_by = await read_version(connection, projection, LIVE)
        row = await connection.fetchrow(query("read_model_position"), LIVE.checkpoint_of(projection), horizon)
    return Standing(
        name=projection.name,
        version=projection.version,
        made_by=made_by,
        position=None if row is None else row["position"],
        horizon=horizon,
        events_behind=0 if row is None else row["events_behind"],
        lag=(None if row is None else row["lag"]) or timedelta(),
        tables=projection.tables,
        halt=await read_halt(ledger, projection),
    )
