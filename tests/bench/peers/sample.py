"""A sample: what one job of one contender took, once."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sample:
    """What a job took.

    Attributes:
        p50_ms: of a single call, where calls were measured.
        processor_seconds: by process, while the job was done.
    """

    tasks: int
    seconds: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    processor_seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def per_second(self) -> float:
        """Tasks a second."""
        return self.tasks / self.seconds
