"""Why a read model does not go on: noted while a projector tries in vain, forgotten when it goes on."""

from dataclasses import dataclass
from datetime import datetime

from ledger.bootstrap import Ledger
from ledger.errors import LedgerError, StoreRefusedError
from ledger.queries import query
from projections.generation import LIVE
from projections.projection import Projection

_CHARS_MAX = 500


@dataclass(frozen=True, slots=True)
class Halt:
    """The position after which it does not go on, why, and since when a projector has said so last."""

    position: int
    error: str
    recorded_at: datetime


async def note_error(ledger: Ledger, projection: Projection, error: Exception) -> int:
    """Note an error, and return the position of the read model."""
    name = LIVE.checkpoint_of(projection)
    async with ledger.database.connection() as connection:
        position = await connection.fetchval(
            query("note_projection_error"), projection.name, name, _sentence(error)[:_CHARS_MAX]
        )
    return int(position)


async def forget_error(ledger: Ledger, projection: Projection) -> None:
    """Note that the read model goes on."""
    async with ledger.database.connection() as connection:
        await connection.execute(query("forget_projection_error"), projection.name)


async def read_halt(ledger: Ledger, projection: Projection) -> Halt | None:
    """Return why the read model does not go on, None where it does."""
    async with ledger.database.connection() as connection:
        row = await connection.fetchrow(query("read_projection_error"), projection.name)
    return None if row is None else Halt(*row)


def _sentence(error: Exception) -> str:
    if isinstance(error, StoreRefusedError):
        return str(error).partition("\n")[0]  # what follows may show values
    return str(error) if isinstance(error, LedgerError) else f"it raised {type(error).__name__}"
