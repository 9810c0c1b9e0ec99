"""What the store counts of its appends."""

import time
from collections.abc import Container, Sequence
from uuid import UUID

from ledger.measures import Measures
from ledger.store.batcher import AppendRequest
from ledger.store.records import StreamAppend
from ledger.telemetry import APPEND_SECONDS, EVENTS_APPENDED, STALE_WRITES


class AppendMeasures:
    """Counts for one store."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures

    def note(
        self, streams: Sequence[AppendRequest | StreamAppend], appended: Container[UUID], *, began: float
    ) -> None:
        """Count the events of the streams that went in, and how long that took since `began` (monotonic)."""
        self._measures.observe(APPEND_SECONDS, time.monotonic() - began)
        count = self._measures.count
        for stream in streams:
            if stream.task_id in appended:
                for event in stream.events:
                    count(EVENTS_APPENDED, event.type)

    def note_stale_write(self) -> None:
        """Count a late write that was refused."""
        self._measures.count(STALE_WRITES)
