"""The projector: folds the log after each projection's checkpoint into the read model, batch by batch."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import asyncpg
import structlog

from ledger.bootstrap import Ledger
from ledger.errors import ConfigurationError, LedgerError, StoreUnavailableError
from ledger.kept import Kept
from ledger.leader import together
from ledger.outage import Outage
from ledger.queries import query
from ledger.subscription import Subscription, subscribe
from ledger.telemetry import EVENTS_FOLDED
from projections.batch import FoldedBatch, fold_next_batch
from projections.errors import FoldFailedError, ReadModelMissingError, ReadModelVersionError
from projections.generation import LIVE, make_missing_live
from projections.halt import forget_error, note_error
from projections.projection import Projection, SqlProjection
from projections.rebuild import rebuild

log = structlog.get_logger()

# A read model that is made anew begins with the months beside the log, in one statement.
_MAKE_SECONDS_MAX = 6 * 3600.0
_LOOK_SECONDS = 10.0
_MANY_EVENTS = 20
_GATHER_SECONDS_MAX = 0.02


class _Rest:
    """Whether a read model has everything up to the horizon, so that there is nothing to do until it moves."""

    def __init__(self) -> None:
        self._upto = -1
        self._look_at = 0.0

    @property
    def is_on(self) -> bool:
        return self._upto >= 0

    def ends_at(self, horizon: int) -> bool:
        # Somebody may have reset or dropped the read model, so every few seconds it is looked at anyway.
        return horizon != self._upto or time.monotonic() >= self._look_at

    def note(self, batch: FoldedBatch, horizon: int) -> None:
        self._upto = horizon if batch.events == 0 or batch.position == horizon else -1
        self._look_at = time.monotonic() + _LOOK_SECONDS


class Projector:
    """Keeps read models up with the ledger; any number of them may run, and they take turns at each batch.

    A batch and its checkpoint commit in one transaction: whatever is killed when, each event has its effect once.
    """

    def __init__(self, ledger: Ledger, projections: Sequence[Projection]) -> None:
        self._ledger = ledger
        self._projections = projections
        self._batch_size_max = ledger.settings.projector_batch_size_max
        self._turn = asyncio.Lock()
        # The projections that may lag share a look at the horizon.
        self._horizon = Kept(ledger.store.safe_position, seconds=ledger.settings.projector_pause_seconds / 2)
        self._noted = {projection.name for projection in projections}  # by an earlier process, perhaps

    async def run_once(self) -> int:
        """Fold the next batch into each read model and return how many events that were.

        A read model that is missing is made first.

        Raises:
            ReadModelVersionError: another version of its projection made the read model.
            ReadModelOutOfStepError: somebody changed the read model or its checkpoint.
            UnknownEventTypeError: the next event is of a newer release.
            StoreUnavailableError: the database is out of reach.
        """
        return sum([(await self._fold_or_make(projection)).events for projection in self._projections])

    async def run(self) -> None:
        """Fold for ever, each projection at its own pace; outlives every outage.

        A read model that an older version of its projection made is rebuilt first, and served meanwhile.
        """
        await together(*(self._run(projection) for projection in self._projections))

    async def _run(self, projection: Projection) -> None:
        settings = self._ledger.settings
        outage = Outage(f"projector:{projection.name}", retry_seconds_max=settings.broker_retry_seconds_max)
        while True:
            try:
                if projection.may_lag:
                    await self._follow_at_leisure(projection, outage)
                async with subscribe(
                    self._ledger.store, poll_interval_seconds=settings.poll_interval_seconds
                ) as subscription:
                    await self._follow(projection, subscription, outage)
            except ConfigurationError:
                raise
            except ReadModelVersionError as error:
                await self._bring_up_to_date(projection, error, outage)
            except LedgerError as error:
                await self._stopped_by(error, projection, outage)
            except Exception as error:  # noqa: BLE001 - the others go on: nobody knows what a projection of a user's own raises
                await self._stopped_by(error, projection, outage)

    async def _follow(self, projection: Projection, subscription: Subscription, outage: Outage) -> None:
        rest = _Rest()
        while True:
            horizon = await subscription.horizon()
            if rest.ends_at(horizon):
                began_at = time.monotonic()
                batch = await self._fold_or_make(projection, horizon)
                rest.note(batch, horizon)
                await self._went_on(projection, outage)
                if _MANY_EVENTS <= batch.events < self._batch_size_max:
                    # A statement costs as much as dozens of events do, so while many come they may gather.
                    await asyncio.sleep(min(2 * (time.monotonic() - began_at), _GATHER_SECONDS_MAX))
            if rest.is_on:
                await subscription.wait()

    async def _went_on(self, projection: Projection, outage: Outage) -> None:
        outage.end()
        if projection.name in self._noted:
            await forget_error(self._ledger, projection)
            self._noted.discard(projection.name)

    async def _stopped_by(self, error: Exception, projection: Projection, outage: Outage) -> None:
        if isinstance(error, FoldFailedError) and not outage.is_on:
            log.error("projection.raised", projection=projection.name, exc_info=error.__cause__)
        position = None
        if not isinstance(error, StoreUnavailableError):
            self._noted.add(projection.name)
            with suppress(LedgerError):
                position = await note_error(self._ledger, projection, error)
        await outage.wait(error, position=position)

    async def _follow_at_leisure(self, projection: Projection, outage: Outage) -> NoReturn:
        # Whoever waits for a read model waits for one that does not lag. So the others let events gather, fold one
        # at a time, and rest as long as they worked while they are far behind.
        rest = _Rest()
        while True:
            horizon = await self._horizon.answer()
            pause_seconds = self._ledger.settings.projector_pause_seconds
            if rest.ends_at(horizon):
                async with self._turn:
                    began_at = time.monotonic()
                    batch = await self._fold_or_make(projection, horizon)
                rest.note(batch, horizon)
                if batch.events == self._batch_size_max:
                    pause_seconds = time.monotonic() - began_at
                await self._went_on(projection, outage)
            await asyncio.sleep(pause_seconds)

    async def _fold_or_make(self, projection: Projection, horizon: int | None = None) -> FoldedBatch:
        # The horizon is a statement of its own, before the transaction: it stays true for ever.
        if horizon is None:
            horizon = await self._ledger.store.safe_position()
        try:
            return await self._fold(projection, horizon)
        except ReadModelMissingError:
            async with self._ledger.database.connection() as connection:
                if await make_missing_live(connection, projection, timeout_seconds=_MAKE_SECONDS_MAX):
                    log.info("read_model.made", projection=projection.name, version=projection.version)
                    await _warn_of_archived(connection, projection)
            return await self._fold(projection, horizon)

    async def _fold(self, projection: Projection, horizon: int) -> FoldedBatch:
        async with (
            self._ledger.database.connection() as connection,
            connection.transaction(isolation="read_committed"),
        ):
            batch = await fold_next_batch(
                connection, projection, LIVE, horizon=horizon, events_max=self._batch_size_max
            )
        if batch.events:
            self._ledger.instruments.measures.count(EVENTS_FOLDED, projection.name, by=batch.events)
        return batch

    async def _bring_up_to_date(
        self, projection: Projection, error: ReadModelVersionError, outage: Outage
    ) -> None:
        if not error.is_older:
            await self._stopped_by(
                error, projection, outage
            )  # a newer release is being rolled out: its projectors take over
            return
        log.info("read_model.outdated", projection=projection.name, made_by=error.made_by)
        try:
            rebuilt = await rebuild(self._ledger, projection)
        except LedgerError as rebuild_error:
            await self._stopped_by(rebuild_error, projection, outage)
            return
        log.info(
            "read_model.rebuilt",
            projection=projection.name,
            version=projection.version,
            events=rebuilt.events,
            seconds=round(rebuilt.seconds, 3),
        )


async def _warn_of_archived(connection: asyncpg.Connection, projection: Projection) -> None:
    rows = await connection.fetch(query("months_out_of_reach"), not isinstance(projection, SqlProjection))
    if rows:
        log.warning(
            "read_model.archived_months_missing", projection=projection.name, months=[row[0] for row in rows]
        )
