"""How far the read model has come, for those who wait until it has what they have written."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from starlette.requests import Request

from api.departure import departing
from api.errors import ReadModelBehindError
from api.gathered_reads import GatheredReads
from api.places import Places
from ledger.bootstrap import Ledger
from ledger.queries import query
from projections.generation import LIVE
from projections.projection import Projection
from projections.task_status import TASK_STATUS

_LOOK_EVERY_SECONDS = 0.02


class ReadModelProgress:
    """Asks the database with one query at a time, however many wait for its answer."""

    def __init__(self, ledger: Ledger, places: Places, projection: Projection = TASK_STATUS) -> None:
        self._checkpoint = LIVE.checkpoint_of(projection)
        self._database = ledger.database
        self._places = places
        self._seconds_max = ledger.settings.read_model_wait_seconds_max
        self._positions = GatheredReads(self._read, lanes_max=1, batch_size_max=1)

    async def reach(self, position: int, request: Request) -> None:
        """Return as soon as the read model has every event up to a position.

        Raises:
            ReadModelBehindError: it has not come so far in time.
            TooManyWaitingError: there is no place to wait.
            NotAuthenticatedError: the caller's key or session was over meanwhile.
        """
        if await self._position() >= position:
            return
        with self._places.taken():
            async with departing(request.scope, request.receive) as departure:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds_max):
                        if await departure.outrun(self._reached(position)):
                            return
                departure.check_stay()
        raise ReadModelBehindError(
            position=await self._position(), position_min=position, seconds_max=self._seconds_max
        )

    async def _reached(self, position: int) -> bool:
        while True:
            if await self._position() >= position:
                return True
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def _position(self) -> int:
        return await self._positions.find(self._checkpoint) or 0

    async def _read(self, names: Sequence[str]) -> Mapping[str, int]:
        async with self._database.connection() as connection:
            found = {name: await connection.fetchval(query("read_checkpoint"), name) for name in names}
        return {name: position for name, position in found.items() if position is not None}
