"""A shard of the log: the events of those tasks whose hash falls on it, so that the order within a task holds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogShard:
    """One of `count` equal shares of the log, by its number from 0 on; the only one of one is the whole log."""

    index: int
    count: int


WHOLE_LOG = LogShard(0, 1)
