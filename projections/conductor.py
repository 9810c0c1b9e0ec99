"""The conductor: carries out the runs that were asked for, one at a time, and takes up those of a killed process.

Whoever is at a run holds its lock in a database session, so a process that dies loses it by itself. What it did is
kept where the rebuild notes its steps, and the next one goes on from there.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from uuid import UUID

import asyncpg
import orjson
import structlog

from ledger.bootstrap import Ledger
from ledger.errors import ConfigurationError, LedgerError, StoreRefusedError, StoreUnavailableError
from ledger.leader import leading
from ledger.outage import Outage
from ledger.queries import query
from projections.catalogue import Catalogue
from projections.errors import FoldFailedError, RebuildInProgressError
from projections.progress import Progress
from projections.projection import Projection
from projections.rebuild import rebuild
from projections.reset import reset
from projections.runs import Act, RunState
from projections.verify import Difference, verify

log = structlog.get_logger()

_REPORT_SECONDS = 0.3
_ORPHANS_EVERY_SECONDS = 60.0
_OPEN_MAX = 100
_CHARS_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    state: RunState = RunState.SUCCEEDED
    swap_seconds: float | None = None
    position: int | None = None
    differences: Sequence[Difference] | None = None
    error: str | None = None


class Conductor:
    """Works off the runs of the projections that it knows; any number of them may run."""

    def __init__(self, ledger: Ledger, catalogue: Catalogue) -> None:
        self._ledger = ledger
        self._catalogue = catalogue
        self._settings = ledger.settings
        self._orphans_at = -math.inf

    async def run(self) -> None:
        """Carry out runs for ever; outlives every outage."""
        outage = Outage("conductor", retry_seconds_max=self._settings.broker_retry_seconds_max)
        while True:
            try:
                carried_out = await self.run_once()
                outage.end()
            except ConfigurationError:
                raise
            except LedgerError as error:
                await outage.wait(error)
                continue
            if carried_out == 0:
                await asyncio.sleep(self._settings.projection_run_interval_seconds)

    async def run_once(self) -> int:
        """Carry out the oldest run that nobody is at, and return how many that were: 1 or 0.

        Raises:
            StoreUnavailableError: the database is out of reach; the run stays open.
        """
        async with self._ledger.database.connection() as connection:
            rows = await connection.fetch(query("open_projection_runs"), list(self._catalogue.names), _OPEN_MAX)
        for run_id, name, act in rows:
            if await self._carry_out(run_id, self._catalogue.find(name), Act(act)):
                return 1
        await self._refuse_orphans()
        return 0

    async def _carry_out(self, run_id: UUID, projection: Projection, act: Act) -> bool:
        async with leading(self._ledger.database, f"projection_run:{run_id}") as connection:
            if connection is None:
                return False
            tries = await connection.fetchval(query("take_projection_run"), run_id)
            if tries is None:
                return False
            log.info("projection_run.taken", run_id=str(run_id), projection=projection.name, act=act, tries=tries)
            outcome = await self._try(run_id, projection, act, tries=tries)
            if outcome is None:
                await connection.execute(query("put_back_projection_run"), run_id)
                return False
            await self._end(connection, run_id, outcome)
            await connection.execute(
                query("prune_projection_runs"), projection.name, self._settings.projection_runs_kept_max
            )
        log.info(
            "projection_run.ended",
            run_id=str(run_id),
            projection=projection.name,
            act=act,
            state=outcome.state,
            error=outcome.error,
        )
        return True

    async def _try(self, run_id: UUID, projection: Projection, act: Act, *, tries: int) -> _Outcome | None:
        tries_max = self._settings.projection_run_tries_max
        if tries > tries_max:  # it may be what kills its processes
            return _failed(f"it was begun {tries_max} times, and no process came to its end")
        report = _Report(self._ledger, run_id)
        reporting = asyncio.create_task(report.run())
        try:
            outcome = await self._perform(projection, act, report)
        except RebuildInProgressError as error:
            return _failed(str(error)) if act is Act.RESET else None
        except StoreUnavailableError:
            raise
        except StoreRefusedError as error:
            return _failed(str(error).partition("\n")[0])  # what follows may show values
        except LedgerError as error:
            if isinstance(error, FoldFailedError):
                log.error("projection.raised", projection=projection.name, exc_info=error.__cause__)  # noqa: TRY400 - the cause is what tells
            return _failed(str(error))
        except Exception as error:  # at the loop's edge: the run has ended, the others go on
            log.exception("projection_run.failed", run_id=str(run_id), projection=projection.name)
            return _failed(f"it raised {type(error).__name__}; the projector's log has the details")
        finally:
            reporting.cancel()
            await asyncio.gather(reporting, return_exceptions=True)
        with suppress(LedgerError):
            await report.write()
        return outcome

    async def _perform(self, projection: Projection, act: Act, report: "_Report") -> _Outcome:
        match act:
            case Act.REBUILD:
                rebuilt = await rebuild(self._ledger, projection, report.note)
                return _Outcome(swap_seconds=rebuilt.swap_seconds, position=rebuilt.position)
            case Act.RESET:
                return _Outcome(position=(await reset(self._ledger, projection, report.note)).position)
            case Act.VERIFY:
                return _Outcome(differences=await verify(self._ledger, projection, report.note))

    async def _end(self, connection: asyncpg.Connection, run_id: UUID, outcome: _Outcome) -> None:
        found = outcome.differences
        shown = None if found is None else found[: self._settings.projection_run_differences_max]
        await connection.execute(
            query("end_projection_run"),
            run_id,
            outcome.state,
            outcome.swap_seconds,
            outcome.position,
            None if shown is None else orjson.dumps([_shortened(one) for one in shown]).decode(),
            None if found is None else len(found),
            outcome.error,
        )

    async def _refuse_orphans(self) -> None:
        now = time.monotonic()
        if now < self._orphans_at + _ORPHANS_EVERY_SECONDS:
            return
        self._orphans_at = now
        seconds = self._settings.projection_run_wait_seconds_max
        error = f"no projector that knows this projection took it within {seconds:g} s: give it the same --app"
        async with self._ledger.database.connection() as connection:
            await connection.execute(query("refuse_orphaned_runs"), list(self._catalogue.names), seconds, error)


class _Report:
    """Writes down how far a run is, a few times a second at most."""

    def __init__(self, ledger: Ledger, run_id: UUID) -> None:
        self._database = ledger.database
        self._run_id = run_id
        self._newest: Progress | None = None

    def note(self, progress: Progress) -> None:
        """Keep what is to be written next."""
        self._newest = progress

    async def run(self) -> None:
        """Write for ever; what cannot be written is not worth ending a run for."""
        while True:
            with suppress(LedgerError):
                await self.write()
            await asyncio.sleep(_REPORT_SECONDS)

    async def write(self) -> None:
        """Write what is new."""
        newest, self._newest = self._newest, None
        if newest is None:
            return
        counts = (newest.phase, newest.events_done, newest.events_total, newest.seconds)
        async with self._database.connection() as connection:
            await connection.execute(query("note_run_progress"), self._run_id, *counts)


def _failed(error: str) -> _Outcome:
    return _Outcome(state=RunState.FAILED, error=error[:_CHARS_MAX])


def _shortened(difference: Difference) -> dict[str, str | None]:
    return {name: None if text is None else text[:_CHARS_MAX] for name, text in asdict(difference).items()}
