"""The ledger as a worker needs it, and who the worker is in it."""

import os
import socket
from typing import Protocol
from uuid import uuid4

from ledger.clock import LedgerClock
from ledger.errors import ConfigurationError
from ledger.payloads.vault import PayloadVault
from ledger.queues.policies import QueuePolicies
from ledger.settings import Settings
from ledger.store.connection import Database
from ledger.store.port import EventStore
from worker.roster import Member, PostgresRoster, Roster


class WorkerLedger(Protocol):
    """The ledger as a worker needs it; `ledger.bootstrap.Ledger` is one."""

    @property
    def settings(self) -> Settings:
        """The settings."""

    @property
    def store(self) -> EventStore:
        """The event store."""

    @property
    def clock(self) -> LedgerClock:
        """The clock, which the heartbeat sets."""

    @property
    def policies(self) -> QueuePolicies:
        """What is set for the queues."""

    @property
    def vault(self) -> PayloadVault:
        """The keys of erasable tasks."""

    @property
    def database(self) -> Database | None:
        """The database that holds the roster, unless the worker is given another one."""


def member_of(settings: Settings) -> Member:
    """Return a new incarnation of the worker of these settings."""
    return Member(
        worker_id=uuid4(),
        name=settings.worker_name or f"{socket.gethostname()}:{os.getpid()}",
        queues=tuple(dict.fromkeys(settings.worker_queues)),
        capacity=settings.worker_concurrency,
    )


def roster_of(ledger: WorkerLedger, member: Member) -> Roster:
    """Return the roster in the ledger's database; raises ConfigurationError where there is none."""
    if ledger.database is None:
        raise ConfigurationError("a worker without a database needs a roster of its own")
    # A beat that hangs is a beat that failed, long before the lease is over.
    return PostgresRoster(ledger.database, member, beat_seconds_max=ledger.settings.lease_seconds / 3)
