"""Where a job is done: private servers, a fresh database and queue for each job, and the peers' environments."""

import asyncio
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aio_pika
import asyncpg

from tests.bench.measurements import Servers
from tests.services.postgres import url_of_database


@dataclass(frozen=True, slots=True)
class Place:
    """What one job has for itself.

    Attributes:
        notes: the directory where the tasks leave their notes.
        log: where its programs write.
    """

    database_url: str
    rabbitmq_url: str
    queue: str
    notes: Path
    log: Path


@dataclass(frozen=True, slots=True)
class Bench:
    """The servers, where environments are kept, and by what to multiply the work."""

    servers: Servers
    environments: Path
    scale: float

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Make room for one job, and clear it away afterwards, so that nothing of it burdens the next one."""
        queue = f"bench-{secrets.token_hex(4)}"
        home = self.servers.home / queue
        (home / "notes").mkdir(parents=True)
        place = Place(self.servers.database(), self.servers.rabbitmq.url, queue, home / "notes", home / "log")
        try:
            yield place
        finally:
            asyncio.run(_clear(place, self.servers.postgres.url))
            shutil.rmtree(place.notes)

    def scaled(self, tasks: int) -> int:
        """Return how many tasks a job has at this scale."""
        return max(100, int(tasks * self.scale))


async def _clear(place: Place, server_url: str) -> None:
    async with await aio_pika.connect(place.rabbitmq_url) as connection, connection.channel() as channel:
        for name in (place.queue, f"{place.queue}.DQ", f"{place.queue}.XQ", f"{place.queue}.dead"):
            await channel.queue_delete(name)
    name = place.database_url.rpartition("/")[2].partition("?")[0]
    postgres = await asyncpg.connect(url_of_database(server_url, "postgres"))
    await postgres.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await postgres.close()
