"""A contender: what it is, how it is configured, and how much of each job it is given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class JobName(StrEnum):
    """What every contender is asked to do, as far as it can."""

    ENQUEUE = "enqueue"
    BATCH = "batch"
    DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class Task:
    """One job as a contender gets it.

    Attributes:
        tasks: how many, for four or five seconds of work on two quiet cores.
        how: what it is called there, and its settings as they were found best.
        settings: the same for its program.
        environment: what its library reads from there.
    """

    tasks: int
    how: str
    settings: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peer:
    """A contender.

    Attributes:
        requirements: what its environment needs, exactly; nothing for our own program.
        program: the module with its jobs.
        jobs: what it can do.
        durability: where a task is when the enqueue returns.
        records: what is left in a database of a task that has run.
        fill: by which job the backlog of a drain is made.
        is_prepared: its tables are made before each job.
    """

    name: str
    requirements: tuple[str, ...]
    program: str
    jobs: Mapping[JobName, Task]
    durability: str
    records: str
    fill: JobName = JobName.BATCH
    is_prepared: bool = False
