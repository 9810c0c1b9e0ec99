"""The doorbell: rings that are asked for during a ring become one, and one that fails is not missed."""

import asyncio

from ledger.errors import StoreUnavailableError
from ledger.store.signals import Doorbell


class Rings:
    """Counts the rings, and holds each until the gate is open."""

    def __init__(self) -> None:
        self.count = 0
        self.gate = asyncio.Event()
        self.fails = False

    async def ring(self) -> None:
        """Ring once."""
        self.count += 1
        await self.gate.wait()
        if self.fails:
            raise StoreUnavailableError("the database is out of reach")


async def test_whoever_asks_during_a_ring_shares_the_next_one() -> None:
    rings = Rings()
    doorbell = Doorbell(rings.ring)
    doorbell.ring()
    await asyncio.sleep(0)
    assert rings.count == 1

    for _ in range(100):
        doorbell.ring()
    rings.gate.set()
    await doorbell.close()

    assert rings.count == 2


async def test_whoever_asks_as_the_last_ring_ends_is_rung_for() -> None:
    rings = Rings()
    rings.gate.set()
    doorbell = Doorbell(rings.ring)

    for asked in range(1, 51):
        doorbell.ring()
        await doorbell.close()
        assert rings.count == asked


async def test_ring_that_fails_is_dropped_and_the_next_one_rings() -> None:
    rings = Rings()
    rings.gate.set()
    rings.fails = True
    doorbell = Doorbell(rings.ring)
    doorbell.ring()
    await doorbell.close()

    rings.fails = False
    doorbell.ring()
    await doorbell.close()

    assert rings.count == 2


async def test_doorbell_that_never_rang_closes() -> None:
    await Doorbell(Rings().ring).close()
