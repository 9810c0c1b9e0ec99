"""The consumer: takes a slot, then a delivery; claims, acks and runs it; and leaves in good order.

    slot ─▶ delivery ─▶ append Started ─▶ ack ─▶ handler ─▶ append the outcome ─▶ slot

Each delivery is served by a task of the worker's own, so claims and outcomes of many tasks wait together and the
store's group commit sends them as a few statements.
"""

import asyncio
import time
from contextlib import suppress
from uuid import UUID

import structlog

from ledger.broker.port import Broker, Delivery
from ledger.errors import (
    BrokerUnavailableError,
    LedgerError,
    MalformedMessageError,
    UnknownEventTypeError,
)
from ledger.instruments import Instruments
from ledger.messages import incoming
from ledger.telemetry import DELIVERIES, WORKER_SLOTS
from worker.attempt import Attempt
from worker.claims import Claims
from worker.heartbeat import Duties, Heartbeat
from worker.payload_keys import PayloadKeys
from worker.registry import Registry
from worker.roster import Roster, RunningAttempt
from worker.store_outage import StoreOutage
from worker.taking import Taking
from worker.under_way import UnderWay
from worker.watch import Watch
from worker.worker_ledger import WorkerLedger, member_of, roster_of
from worker.workshop import furnished

log = structlog.get_logger()

# What a stop may take beyond its grace: for claims under way, for the outcomes of what was interrupted, to leave.
_CLAIM_SECONDS_MAX = 2.0
_INTERRUPT_SECONDS_MAX = 5.0
_LEAVE_SECONDS_MAX = 3.0


class Worker:
    """One incarnation of a worker: run it once.

    Args:
        roster: where it says that it lives; the ledger's database if absent.
        instruments: what it tells of itself with; nobody asks if absent.
    """

    def __init__(
        self,
        ledger: WorkerLedger,
        broker: Broker,
        registry: Registry,
        *,
        roster: Roster | None = None,
        instruments: Instruments | None = None,
    ) -> None:
        settings = ledger.settings
        self._instruments = instruments or Instruments()
        self._broker = broker
        self._settings = settings
        self._member = member_of(settings)
        self._slots = asyncio.Semaphore(settings.worker_concurrency)
        self._claiming: UnderWay[Delivery, asyncio.Task[None]] = UnderWay()
        self._running: UnderWay[tuple[UUID, int], Attempt] = UnderWay()
        self._serving: set[asyncio.Task[None]] = set()
        self._stop_asked = asyncio.Event()
        self._ended = asyncio.Event()
        self._outage = StoreOutage(ledger.store, retry_seconds_max=settings.broker_retry_seconds_max)
        self._claims = Claims(
            ledger.store,
            ledger.clock,
            self._outage,
            policies=ledger.policies,
            worker_id=self._member.worker_id,
            is_running=lambda task_id, attempt: (task_id, attempt) in self._running,
        )
        self._keys = PayloadKeys(ledger.vault, self._outage)
        self._workshop = furnished(
            settings,
            ledger.store,
            ledger.clock,
            database=ledger.database,
            registry=registry,
            outage=self._outage,
        )
        self._roster = roster or roster_of(ledger, self._member)
        self._taking = Taking(self._take)
        duties = Duties(running=self._running_attempts, cancel=self._cancel, taking=self._taking)
        self._heartbeat = Heartbeat(
            self._roster, ledger.clock, settings, duties, measures=self._instruments.measures
        )
        self._instruments.measures.read_from(WORKER_SLOTS, self._slots_read)

    @property
    def worker_id(self) -> UUID:
        """The id of this incarnation, which stands in the events."""
        return self._member.worker_id

    async def run(self) -> None:
        """Work until `stop` is called, then finish what runs within the grace and interrupt the rest.

        Being cancelled is a stop without any grace.
        """
        log.info(
            "worker.started",
            worker_id=str(self.worker_id),
            name=self._member.name,
            queues=self._member.queues,
            concurrency=self._settings.worker_concurrency,
            prefetch=self._settings.worker_prefetch,
            kinds=self._workshop.registry.kinds,
        )
        try:
            async with asyncio.TaskGroup() as group:
                beating = group.create_task(self._heartbeat.run())
                self._taking.begin(group)
                try:
                    await self._serve_until_stopped()
                finally:
                    beating.cancel()
        finally:
            await self._leave()
            self._ended.set()

    async def stop(self) -> None:
        """Ask the worker that runs to stop, and return when it has."""
        self._stop_asked.set()
        await self._ended.wait()

    async def _take(self, group: asyncio.TaskGroup) -> None:
        async with self._broker.consume(
            self._member.queues, prefetch=self._settings.worker_prefetch
        ) as deliveries:
            has_slot = False
            try:
                has_slot = await self._slots.acquire()
                async for delivery in deliveries:
                    await self._permission()
                    self._serve_soon(delivery, group)
                    has_slot = False
                    has_slot = await self._slots.acquire()
            finally:
                if has_slot:
                    self._slots.release()
                # Leaving the context gives back what is not settled, so what is being claimed comes first.
                await self._settle_claims()

    async def _permission(self) -> None:
        """Return when the store answers and the lease is held; until then a delivery in hand stays unsettled."""
        while not (self._outage.is_over and self._heartbeat.is_believed):
            await self._outage.wait_until_over()
            await self._heartbeat.wait_until_believed()

    def _serve_soon(self, delivery: Delivery, group: asyncio.TaskGroup) -> None:
        serving = group.create_task(self._serve(delivery))
        self._serving.add(serving)
        self._claiming.add(delivery, serving)
        serving.add_done_callback(self._note_served)

    def _note_served(self, serving: "asyncio.Task[None]") -> None:
        self._serving.discard(serving)
        self._slots.release()

    async def _serve(self, delivery: Delivery) -> None:
        try:
            try:
                attempt = await self._begin(delivery)
            finally:
                self._claiming.remove(delivery)
            if attempt is not None:
                await self._finish(attempt)
        except Exception:
            # A defect of ours must not take the other attempts down with it.
            log.exception("delivery.crashed", message_id=delivery.message_id)

    async def _begin(self, delivery: Delivery) -> Attempt | None:
        """Claim the task of a delivery and settle the delivery; None where there is nothing to run."""
        try:
            attempt = await self._claim(delivery.body)
        except (MalformedMessageError, UnknownEventTypeError) as error:
            log.warning("delivery.rejected", message_id=delivery.message_id, reason=str(error))
            await self._reject(delivery, str(error))
        except Exception as error:
            # Whatever is wrong with the message, it must not come again and again.
            log.exception("delivery.rejected", message_id=delivery.message_id)
            await self._reject(delivery, f"{type(error).__name__}: {error}")
        else:
            with suppress(BrokerUnavailableError):  # then it comes again, as a stale hint
                await delivery.ack()
            return attempt
        return None

    async def _reject(self, delivery: Delivery, reason: str) -> None:
        self._instruments.measures.count(DELIVERIES, delivery.queue, "rejected")
        await delivery.reject(reason)

    async def _claim(self, body: bytes) -> Attempt | None:
        watch = Watch(self._instruments, incoming(body))
        with watch.claiming():
            claim = await self._claims.claim(watch.hint)
            watch.claimed(claim)
            if claim is None:
                return None
            claim = await self._keys.unlocked(claim)
        attempt = Attempt(claim, self._workshop, watch)
        self._running.add((claim.task.id, claim.attempt), attempt)
        return attempt

    async def _finish(self, attempt: Attempt) -> None:
        try:
            await attempt.run()
        finally:
            self._running.remove((attempt.claim.task.id, attempt.claim.attempt))
        await attempt.run_out()

    async def _serve_until_stopped(self) -> None:
        try:
            await self._stop_asked.wait()
            await self._wind_up(grace_seconds=self._settings.shutdown_grace_seconds)
        except asyncio.CancelledError:
            await self._wind_up(grace_seconds=0.0)
            raise

    async def _wind_up(self, *, grace_seconds: float) -> None:
        log.info("worker.stopping", running=len(self._running), grace_seconds=grace_seconds)
        grace_ends_at = time.monotonic() + grace_seconds
        await self._taking.end()
        if not await self._running.emptied(seconds_max=grace_ends_at - time.monotonic()):
            for attempt in tuple(self._running.values()):
                attempt.interrupt()
            await self._running.emptied(seconds_max=_INTERRUPT_SECONDS_MAX)
        for serving in self._serving:
            serving.cancel()

    async def _settle_claims(self) -> None:
        if not await self._claiming.emptied(seconds_max=_CLAIM_SECONDS_MAX if self._outage.is_over else 0.0):
            for serving in self._claiming.values():
                serving.cancel()

    async def _leave(self) -> None:
        await self._workshop.close()
        await self._outage.close()
        try:
            async with asyncio.timeout(_LEAVE_SECONDS_MAX):
                await self._roster.leave()
        except (LedgerError, TimeoutError) as error:
            log.warning("worker.left_silently", worker_id=str(self.worker_id), reason=str(error))
        await self._roster.close()
        log.info("worker.stopped", worker_id=str(self.worker_id))

    def _slots_read(self) -> list[tuple[tuple[str, ...], float]]:
        return [(("busy",), len(self._running)), (("max",), self._settings.worker_concurrency)]

    def _running_attempts(self) -> list[RunningAttempt]:
        return [RunningAttempt(attempt.claim.task.id, attempt.claim.version) for attempt in self._running.values()]

    def _cancel(self, task_id: UUID) -> None:
        for attempt in tuple(self._running.values()):
            if attempt.claim.task.id == task_id:
                attempt.cancel()
