"""The pace of a piece of work: events a second, and a processor second of client and server together."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.processors import ProcessorSeconds

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """How many events one run took, for how long, and what client and server used meanwhile."""

    events: int
    elapsed_seconds: float
    processor_seconds: Mapping[str, float]

    @property
    def per_second(self) -> float:
        """Events a second."""
        return self.events / self.elapsed_seconds

    @property
    def per_processor_second(self) -> float:
        """Events a processor second."""
        return self.events / sum(self.processor_seconds.values())


@dataclass(frozen=True, slots=True)
class Medians:
    """The medians of several runs: of events a second, and of events a processor second."""

    per_second: float
    per_processor_second: float

    def __str__(self) -> str:
        return f"{self.per_second:,.0f} events/s, {self.per_processor_second:,.0f} a processor second"


async def paced(used: ProcessorSeconds, work: Callable[[], Awaitable[int]]) -> Pace:
    """Do the work in this process and on the server, and return its pace; it tells how many events it took."""
    client_before = time.process_time()
    used.start()
    events = await work()
    used.stop()
    client = time.process_time() - client_before
    return Pace(events, used.elapsed_seconds, {"client": client, "postgres": used.seconds["postgres"]})


def medians_of(paces: Sequence[Pace]) -> Medians:
    """Return the medians of runs of the same work."""
    return Medians(median(pace.per_second for pace in paces), median(pace.per_processor_second for pace in paces))


def seconds_of(paces: Mapping[str, Sequence[Pace]]) -> tuple[float, Mapping[str, float]]:
    """Return how long all runs took, and the processor seconds of each work by process."""
    elapsed = sum(pace.elapsed_seconds for runs in paces.values() for pace in runs)
    used: dict[str, float] = {}
    for work, runs in paces.items():
        for pace in runs:
            for process, seconds in pace.processor_seconds.items():
                name = f"{work} {process}"
                used[name] = used.get(name, 0.0) + seconds
    return elapsed, used
